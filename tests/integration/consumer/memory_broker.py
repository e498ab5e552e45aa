"""A broker in memory that loses and repeats messages on demand."""

import threading
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from tianyu.broker.errors import BrokerUnreachableError
from tianyu.broker.interface import Hint, QueueAddress, Trouble


@dataclass
class MemoryBroker:
    """Messages in lists; of ``losing`` and ``repeating`` every n-th one, 0 for none."""

    losing: int = 0
    repeating: int = 0
    is_blocked: bool = False
    is_away: bool = False
    is_mute: bool = False
    carries_messages: bool = True
    sent: list[int] = field(default_factory=list)
    unacknowledged: int = 0
    prefetch: int = 0
    n_reconnects: int = 0
    _messages: dict[int, deque[int]] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def trouble(self) -> Trouble | None:
        """Say so while away."""
        return Trouble("the broker is away", 0.0) if self.is_away else None

    def publish(self, queue: QueueAddress, process_ids: Sequence[int]) -> Collection[int]:
        """Confirm everything, also what is lost afterwards; nothing while away or mute."""
        if self.is_away or self.is_mute:
            return []
        with self._changed:
            messages = self._messages.setdefault(queue.id, deque())
            for process_id in process_ids:
                self.sent.append(process_id)
                if self.losing and len(self.sent) % self.losing == 0:
                    continue
                is_repeated = self.repeating and len(self.sent) % self.repeating == 0
                messages.extend([process_id] * (2 if is_repeated else 1))
            self._changed.notify_all()
        return list(process_ids)

    def subscribe(self, queues: Sequence[QueueAddress], prefetch: int = 1) -> None:
        """Remember how much was wanted ahead."""
        self.prefetch = prefetch
        with self._changed:
            for queue in queues:
                self._messages.setdefault(queue.id, deque())

    def receive(self, timeout_s: float) -> Hint | None:
        """Take the next message of any queue."""
        with self._changed:
            self._changed.wait_for(lambda: any(self._messages.values()), timeout_s)
            for queue_id, messages in self._messages.items():
                if messages:
                    self.unacknowledged += 1
                    return Hint(messages.popleft(), queue_id, tag=None)
        return None

    def acknowledge(self, hint: Hint) -> None:
        """Count."""
        del hint
        self.unacknowledged -= 1

    def depth(self, queue: QueueAddress) -> int:
        """Count what waits."""
        if self.is_away:
            raise BrokerUnreachableError("the broker is away")
        return len(self._messages.get(queue.id, ()))

    def n_dead(self, queue: QueueAddress) -> int:
        """Return none: whatever is sent here can be read."""
        del queue
        return 0

    def wake(self) -> None:
        """Wake all who wait."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> bool:
        """Wait until woken."""
        with self._changed:
            return self._changed.wait(timeout_s)

    def close(self) -> None:
        """Do nothing."""
