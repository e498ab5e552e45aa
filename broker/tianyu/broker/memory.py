"""A broker in memory that misbehaves on demand, for tests of everything that uses one.

:class:`MemoryServer` plays the server, :class:`MemoryBroker` one client of it. Whatever a
real broker may do to messages happens here often and, by the seed, repeatably: they get
lost, their confirms get lost, they arrive twice or in another order.
"""

import itertools
import random
import threading
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tianyu.broker.errors import BrokerUnreachableError, MessageError
from tianyu.broker.interface import Hint, QueueAddress, Trouble
from tianyu.broker.messages import decode, encode


@dataclass(frozen=True)
class Faults:
    """How often what goes wrong, as probabilities between 0 and 1.

    Parameters
    ----------
    loss : float
        A confirmed message vanishes, as after a server lost its disk.
    silence : float
        A message arrives but its confirm does not.
    repetition : float
        A message arrives twice.
    disorder : float
        A message overtakes some that were there before.

    Raises
    ------
    ValueError
        If a probability is not one.
    """

    loss: float = 0.0
    silence: float = 0.0
    repetition: float = 0.0
    disorder: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} is a probability, not {value}; choose one in [0, 1]")


@dataclass
class MemoryServer:
    """The server: queues of message bodies that outlive every client.

    Parameters
    ----------
    faults : Faults
        May be replaced while it runs.
    seed : int
        Same seed, same calls: same faults.
    """

    faults: Faults = field(default_factory=Faults)
    seed: int = 0
    is_up: bool = True
    is_blocked: bool = False
    queues: defaultdict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    dead: defaultdict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.changed = threading.Condition()
        self.wakes = 0
        self._random = random.Random(self.seed)  # noqa: S311 - faults, not secrets

    def send(self, queue: str, body: bytes) -> bool:
        """Put a message into a queue, or into its misfortune; return whether it is confirmed."""
        with self.changed:
            if not self.is_up or self.is_blocked:
                return False
            if not self._happens(self.faults.loss):
                self._insert(self.queues[queue], body)
                if self._happens(self.faults.repetition):
                    self._insert(self.queues[queue], body)
                self.changed.notify_all()
            return not self._happens(self.faults.silence)

    def give_back(self, queue: str, body: bytes) -> None:
        """Put a message that was delivered but not acknowledged in front again."""
        with self.changed:
            self.queues[queue].insert(0, body)
            self.changed.notify_all()

    def wipe(self) -> None:
        """Forget all messages, as a server that came back with an empty disk."""
        with self.changed:
            self.queues.clear()

    def _insert(self, messages: list[bytes], body: bytes) -> None:
        overtakes = self._happens(self.faults.disorder)
        place = self._random.randrange(len(messages) + 1) if overtakes else len(messages)
        messages.insert(place, body)

    def _happens(self, probability: float) -> bool:
        return self._random.random() < probability


class MemoryBroker:
    """One client of a :class:`MemoryServer`, in the same process of the operating system."""

    n_reconnects = 0

    def trouble(self) -> Trouble | None:
        """Say so while the server is down."""
        return None if self._server.is_up else Trouble("the broker in memory is down", 0.0)

    carries_messages = True

    def __init__(self, server: MemoryServer) -> None:
        self._server = server
        self._queues: tuple[QueueAddress, ...] = ()
        self._prefetch = 1
        self._numbers = itertools.count(1)
        self._delivered: dict[int, tuple[QueueAddress, bytes]] = {}
        self._wakes_seen = server.wakes

    @property
    def is_blocked(self) -> bool:
        """Whether the server was told to refuse messages."""
        return self._server.is_blocked

    def publish(self, queue: QueueAddress, process_ids: Sequence[int]) -> Collection[int]:
        """Send hints; return the ids that were confirmed."""
        return [pid for pid in process_ids if self._server.send(queue.name, encode(pid))]

    def subscribe(self, queues: Sequence[QueueAddress], prefetch: int = 1) -> None:
        """Receive the hints of these queues."""
        self._queues, self._prefetch = tuple(queues), max(1, prefetch)

    def receive(self, timeout_s: float) -> Hint | None:
        """Return the next hint, or None when none came in time."""
        found: list[Hint] = []

        def stirs() -> bool:
            hint = self._take()
            found.extend([hint] if hint else [])
            return bool(found) or self._server.wakes != self._wakes_seen

        with self._server.changed:
            self._server.changed.wait_for(stirs, timeout_s)
            self._wakes_seen = self._server.wakes
        return found[0] if found else None

    def acknowledge(self, hint: Hint) -> None:
        """Forget the delivery; one of an earlier connection is left alone."""
        if self._server.is_up and isinstance(hint.tag, int):
            self._delivered.pop(hint.tag, None)

    def depth(self, queue: QueueAddress) -> int:
        """Return how many messages wait in a queue.

        Raises
        ------
        BrokerUnreachableError
            If the server is down.
        """
        if not self._server.is_up:
            raise BrokerUnreachableError("the broker in memory was told to be down")
        return len(self._server.queues.get(queue.name, ()))

    def n_dead(self, queue: QueueAddress) -> int:
        """Count the dead letters."""
        return len(self._server.dead[queue.name])

    def wake(self) -> None:
        """Wake all clients of the server."""
        with self._server.changed:
            self._server.wakes += 1
            self._server.changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until some client calls :meth:`wake`."""
        with self._server.changed:
            woken = self._server.changed.wait_for(
                lambda: self._server.wakes != self._wakes_seen, timeout_s
            )
            self._wakes_seen = self._server.wakes
            return woken

    def lose_connection(self) -> None:
        """Let the server deliver again what was not acknowledged, as after a cut cable."""
        delivered, self._delivered = self._delivered, {}
        for queue, body in reversed(delivered.values()):
            self._server.give_back(queue.name, body)

    def close(self) -> None:
        """End in an orderly way: what was not acknowledged is delivered to others."""
        self.lose_connection()
        self._queues = ()

    def _take(self) -> Hint | None:
        if not self._server.is_up:
            return None
        for queue in self._queues:
            messages = self._server.queues[queue.name]
            while messages and self._held(queue) < self._prefetch:
                hint = self._deliver(queue, messages.pop(0))
                if hint is not None:
                    return hint
        return None

    def _held(self, queue: QueueAddress) -> int:
        return sum(1 for held, _ in self._delivered.values() if held == queue)

    def _deliver(self, queue: QueueAddress, body: bytes) -> Hint | None:
        try:
            process_id = decode(body)
        except MessageError:
            self._server.dead[queue.name].append(body)
            return None
        tag = next(self._numbers)
        self._delivered[tag] = (queue, body)
        return Hint(process_id, queue.id, tag)
