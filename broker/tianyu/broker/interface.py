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


@dataclass(frozen=True)
class Trouble:
    """What keeps a client from working with its broker.

    Attributes
    ----------
    text : str
        In words, without passwords.
    lasts_s : float
        For how long already, seconds.
    """

    text: str
    lasts_s: float


class Broker(Protocol):
    """What every broker does.

    Only :meth:`depth` and :meth:`n_dead` raise when the broker is away. Everything else does
    what it can: what was not sent is not confirmed, and what was not acknowledged is delivered
    again.

    Attributes
    ----------
    carries_messages : bool
        False when workers claim straight from the database; then nothing is dispatched.
    """

    carries_messages: bool

    @property
    def is_blocked(self) -> bool:
        """Whether the broker refuses messages for now, out of memory or disk.

        Confirms are late then, not lost, and nothing should be sent again.
        """
        ...

    @property
    def n_reconnects(self) -> int:
        """How often a connection or channel was lost and opened again."""
        ...

    def trouble(self) -> Trouble | None:
        """Return what keeps this client from working: not connected, or connected but deaf.

        None while all is well, and while nothing has been asked of the broker yet.
        """
        ...

    def publish(self, queue: QueueAddress, process_ids: Sequence[int]) -> Collection[int]:
        """Send hints; return the ids whose messages the broker has confirmed.

        An id that is not returned may or may not have arrived.
        """
        ...

    def subscribe(self, queues: Sequence[QueueAddress], prefetch: int = 1) -> None:
        """Begin to receive hints of these queues.

        Parameters
        ----------
        queues : sequence of QueueAddress
            Replaces what was subscribed before.
        prefetch : int
            Hints of each queue that may be on their way to this consumer unacknowledged;
            as many as it has children.
        """
        ...

    def receive(self, timeout_s: float) -> Hint | None:
        """Return the next hint, or None when none came in time or :meth:`wake` was called."""
        ...

    def acknowledge(self, hint: Hint) -> None:
        """Tell the broker that the hint has been dealt with."""
        ...

    def depth(self, queue: QueueAddress) -> int:
        """Return how many hints wait in a queue, without those on their way to a consumer.

        Raises
        ------
        BrokerUnreachableError
            If the broker does not answer: that is not the same as an empty queue.
        """
        ...

    def n_dead(self, queue: QueueAddress) -> int:
        """Return how many messages of a queue could not be used and are kept for people.

        Raises
        ------
        BrokerUnreachableError
            If the broker does not answer.
        """
        ...

    def wake(self) -> None:
        """Let :meth:`wait` and :meth:`receive` return early: something may have become ready.

        Reaches those who wait in other processes too where the broker can; a wake may get
        lost, so that polling stays the backstop.
        """
        ...

    def wait(self, timeout_s: float) -> bool:
        """Wait for a call of :meth:`wake`; return whether there was one."""
        ...

    def close(self) -> None:
        """Let go of connections; may be called twice."""
        ...
