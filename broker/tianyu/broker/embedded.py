"""The embedded broker: the process table itself is the queue, nothing is sent.

Workers of one process of the operating system wake each other through a condition; those
of different ones find work by polling the index, which costs microseconds.
"""

import threading
from collections.abc import Collection, Sequence

from sqlalchemy import func, select

from tianyu.broker.interface import Hint, QueueAddress
from tianyu.schema.database import Database
from tianyu.schema.engine_tables import Process
from tianyu.schema.states import State


class EmbeddedBroker:
    """A broker without messages."""

    carries_messages = False
    is_blocked = False
    n_reconnects = 0

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changed = threading.Event()

    def trouble(self) -> None:
        """Return None: without messages nobody can be deaf to them."""

    def publish(self, queue: QueueAddress, process_ids: Sequence[int]) -> Collection[int]:
        """Wake the workers; the rows are already there for them to see."""
        del queue
        self._changed.set()
        return list(process_ids)

    def subscribe(self, queues: Sequence[QueueAddress], prefetch: int = 1) -> None:
        """Do nothing: workers name their queues when they claim."""

    def receive(self, timeout_s: float) -> Hint | None:
        """Wait until woken or the time is up; there is never a hint."""
        self.wait(timeout_s)
        return None

    def acknowledge(self, hint: Hint) -> None:
        """Do nothing: no hint was delivered."""

    def depth(self, queue: QueueAddress) -> int:
        """Count the processes that are ready in this queue."""
        query = select(func.count()).where(
            Process.state == State.READY.value, Process.queue_id == queue.id
        )
        with self._database.read() as connection:
            return int(connection.scalar(query) or 0)

    def n_dead(self, queue: QueueAddress) -> int:
        """Return 0: there are no messages."""
        del queue
        return 0

    def wake(self) -> None:
        """Let :meth:`wait` return early, in this process of the operating system."""
        self._changed.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until woken or the time is up."""
        woken = self._changed.wait(timeout_s)
        self._changed.clear()
        return woken

    def close(self) -> None:
        """Do nothing: the database belongs to the caller."""
