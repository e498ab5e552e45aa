"""The small interface between the engine and whatever carries its hints.

A message is a hint that a process may be claimed; the database alone decides who owns it.
So a broker may lose, repeat and reorder messages without harm, and acknowledgements are
flow control only.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class QueueAddress:
    """One queue: the consumers of one hardware group at one site."""

    id: int
    site: str
    group: str

    @property
    def name(self) -> str:
        """Name of the queue at a broker."""
        return f"tianyu.{self.site}.{self.group}"


@dataclass(frozen=True)
class Hint:
    """One delivered message; ``tag`` is the broker's own and identifies the delivery."""

    process_id: int
    queue_id: int
    tag: object


class Broker(Protocol):
    """What every broker does.

    Attributes
    ----------
    carries_messages : bool
        False when workers claim straight from the database; then nothing is dispatched.
    """

    carries_messages: bool

    def publish(self, queue: QueueAddress, process_ids: Sequence[int]) -> Collection[int]:
        """Send hints; return the ids whose messages the broker has confirmed."""
        ...

    def subscribe(self, queues: Sequence[QueueAddress]) -> None:
        """Begin to receive hints of these queues."""
        ...

    def receive(self, timeout_s: float) -> Hint | None:
        """Return the next hint, or None when none came in time."""
        ...

    def acknowledge(self, hint: Hint) -> None:
        """Tell the broker that the hint has been dealt with."""
        ...

    def depth(self, queue: QueueAddress) -> int:
        """Return how many hints wait in a queue."""
        ...

    def wake(self) -> None:
        """Let :meth:`receive` return early: something may have become claimable."""
        ...

    def close(self) -> None:
        """Let go of connections; may be called twice."""
        ...
