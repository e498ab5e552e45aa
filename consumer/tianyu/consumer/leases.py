"""Keeping the leases of running processes alive, on a thread and connection of its own."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tianyu.consumer.children import Stop
from tianyu.consumer.logs import EngineLog
from tianyu.schema.database import Database
from tianyu.schema.directory import touch_worker
from tianyu.schema.transitions.claim import Claim, heartbeat

BEATS_PER_LEASE = 4
"""Two beats may be lost in a row before a lease is in danger."""

SECOND_TRY_S = 1.0
"""A beat that failed is repeated sooner, so that a short outage costs no more than one."""

JOIN_S = 5.0


@dataclass
class LeaseKeeper:
    """Extends the leases of all held claims until told to let go.

    Attributes
    ----------
    on_stop : callable
        Called in the thread of the keeper when there is something for :meth:`take_stops`.
    is_database_away : bool
        Whether the last beat failed; nobody's lease is judged then.
    answered_at : float
        Monotonic time of the last beat that did not.
    """

    database: Database
    worker_id: str
    lease_s: float
    log: EngineLog
    on_stop: Callable[[], None]
    is_database_away: bool = False
    answered_at: float = field(default_factory=time.monotonic)
    _stops: dict[int, Stop] = field(default_factory=dict)
    _held: dict[int, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    @property
    def period_s(self) -> float:
        """Time between two beats, seconds."""
        return self.lease_s / BEATS_PER_LEASE

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="tianyu-leases", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; leases then run out by themselves."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def hold(self, claim: Claim) -> None:
        """Begin to extend the lease of a claim."""
        with self._lock:
            self._held[claim.process_id] = claim.token

    def let_go(self, claim: Claim) -> None:
        """Stop extending the lease of a claim."""
        with self._lock:
            # A later claim of the same process, by a child of ours too, is another matter.
            if self._held.get(claim.process_id) == claim.token:
                del self._held[claim.process_id]
                self._stops.pop(claim.process_id, None)

    def take_stops(self) -> dict[int, Stop]:
        """Return the processes whose work must stop, and why; each once."""
        with self._lock:
            stops, self._stops = self._stops, {}
        return stops

    def beat(self) -> None:
        """Extend every held lease once."""
        with self._lock:
            held = dict(self._held)

        def work(connection: Connection) -> dict[int, Stop]:
            touch_worker(connection, self.worker_id)
            found = {
                process_id: _judge(heartbeat(connection, process_id, token, self.lease_s))
                for process_id, token in sorted(held.items())
            }
            return {process_id: stop for process_id, stop in found.items() if stop is not None}

        with self.database.write() as connection:
            stops = work(connection)
        with self._lock:
            # What ended meanwhile of itself need not be stopped.
            self._stops.update({k: v for k, v in stops.items() if held[k] == self._held.get(k)})
        if stops:
            self.on_stop()

    def _run(self) -> None:
        period_s = pause_s = self.period_s
        while not self._stopping.wait(pause_s):
            try:
                self.beat()
                self.is_database_away, pause_s = False, period_s
                self.answered_at = time.monotonic()
            except DBAPIError as error:
                # An unreachable database is no reason to throw work away: keep computing,
                # keep trying; whether the lease was lost is decided by the fence.
                self.is_database_away, pause_s = True, min(period_s, SECOND_TRY_S)
                self.log.warning(
                    "a heartbeat failed, trying again: %s", error, extra={"action": "heartbeat"}
                )


def _judge(is_cancelled: bool | None) -> Stop | None:
    if is_cancelled is None:
        return Stop.CLAIM_LOST
    return Stop.CANCELLED if is_cancelled else None
