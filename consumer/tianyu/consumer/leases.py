"""Keeping the leases of running processes alive, on a thread and connection of its own."""

import logging
import threading
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tianyu.schema.database import Database
from tianyu.schema.directory import touch_worker
from tianyu.schema.transitions.claim import heartbeat

logger = logging.getLogger(__name__)

BEATS_PER_LEASE = 4
"""Two beats may be lost in a row before a lease is in danger."""


@dataclass
class LeaseKeeper:
    """Extends the leases of all held claims until told to let go.

    Attributes
    ----------
    to_stop : dict of int to str
        Processes whose work must stop, and why: ``"lost"`` or ``"cancelled"``.
    """

    database: Database
    worker_id: str
    lease_s: float
    to_stop: dict[int, str] = field(default_factory=dict)
    _held: dict[int, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="tianyu-leases", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; leases then run out by themselves."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def hold(self, process_id: int, token: str) -> None:
        """Begin to extend the lease of a claim."""
        with self._lock:
            self._held[process_id] = token

    def let_go(self, process_id: int) -> None:
        """Stop extending the lease of a claim."""
        with self._lock:
            self._held.pop(process_id, None)
            self.to_stop.pop(process_id, None)

    def take_stops(self) -> dict[int, str]:
        """Return the processes whose work must stop, each once."""
        with self._lock:
            stops, self.to_stop = self.to_stop, {}
        return stops

    def beat(self) -> None:
        """Extend every held lease once."""
        with self._lock:
            held = dict(self._held)

        def work(connection: Connection) -> dict[int, str]:
            stops = {}
            touch_worker(connection, self.worker_id)
            for process_id, token in sorted(held.items()):
                cancelled = heartbeat(connection, process_id, token, self.lease_s)
                if cancelled is None:
                    stops[process_id] = "lost"
                elif cancelled:
                    stops[process_id] = "cancelled"
            return stops

        stops = self.database.retry(work)
        with self._lock:
            self.to_stop.update({k: v for k, v in stops.items() if held[k] == self._held.get(k)})

    def _run(self) -> None:
        while not self._stopping.wait(self.lease_s / BEATS_PER_LEASE):
            try:
                self.beat()
            except DBAPIError as error:
                # An unreachable database is no reason to throw work away: keep computing,
                # keep trying; whether the lease was lost is decided by the fence.
                logger.warning("heartbeat failed, trying again: %s", error)
