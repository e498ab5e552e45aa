"""The manager: keeps the graph moving where no worker does.

Any number of managers may run; they share the work through the database and need no leader.
"""

import logging
import platform
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from tianyu.broker.interface import Broker
from tianyu.schema.database import Database
from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import Process, Site, Worker
from tianyu.schema.states import State
from tianyu.schema.transitions.blocking import reconcile
from tianyu.schema.transitions.leases import Reaped, reap

logger = logging.getLogger(__name__)

START_TOLERANCE_S = 2.0
"""The clock of the database and that of the operating system may differ by this much."""


@dataclass(frozen=True)
class ManagerConfig:
    """Budgets and rhythm of a manager."""

    lease_loss_budget: int = 3
    poll_s: float = 0.5


@dataclass
class Manager:
    """Blocks and frees descendants, and takes processes back from vanished workers."""

    database: Database
    broker: Broker
    config: ManagerConfig = field(default_factory=ManagerConfig)
    clock: Callable[[], float] = time.monotonic
    _healthy_since: float | None = None
    _last_poll: float | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Ask the loop to end after the current round; safe in a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Work round after round until stopped."""
        while not self._stopping.is_set():
            try:
                moved = self.poll()
            except DBAPIError as error:
                self._healthy_since = None
                logger.warning("the database is away, trying again: %s", error)
                moved = False
            if moved:
                self.broker.wake()
            else:
                self._stopping.wait(self.config.poll_s)

    def poll(self) -> bool:
        """Do one round; return whether anything moved."""
        moved = self.database.retry(reconcile) > 0
        now = self.clock()
        longest_lease_s = self._longest_lease_s()
        if self._last_poll is not None and now - self._last_poll > longest_lease_s / 2:
            self._healthy_since = None
        self._last_poll = now
        if self._healthy_since is None:
            self._healthy_since = now
        # After a stall of the database every lease looks expired, though the workers live:
        # they get one full lease of a healthy database to renew it.
        if now - self._healthy_since >= longest_lease_s:
            moved = bool(self._reap()) or moved
        return moved

    def reap_dead_local_workers(self) -> list[Reaped]:
        """Take processes back at once from workers of this host that no longer run.

        For a single machine, where a killed reduction is continued without waiting for its
        leases; between machines only the lease can tell.
        """
        with self.database.read() as connection:
            rows = connection.execute(
                select(Worker.id, Worker.os_pid, Worker.started_us).where(
                    Worker.host == platform.node(), Worker.stopped_us.is_(None)
                )
            ).all()
        dead = [row.id for row in rows if not _lives(row.os_pid, row.started_us / 1e6)]
        if not dead:
            return []
        with self.database.write() as connection:
            connection.execute(
                update(Process)
                .where(Process.state == State.RUNNING.value, Process.worker_id.in_(dead))
                .values(lease_until=0)
            )
            connection.execute(
                update(Worker).where(Worker.id.in_(dead)).values(stopped_us=now_us())
            )
        return self._reap()

    def _reap(self) -> list[Reaped]:
        taken = self.database.retry(lambda c: reap(c, budget=self.config.lease_loss_budget))
        for process in taken:
            logger.warning(
                "took back process %s from a vanished worker, now %s",
                process.process_id,
                process.state,
                extra={"action": "reap", "process_id": process.process_id},
            )
        return taken

    def _longest_lease_s(self) -> float:
        with self.database.read() as connection:
            return max(connection.scalars(select(Site.lease_s)), default=60.0)


def _lives(os_pid: int, started_s: float) -> bool:
    """Tell whether an operating-system process is still the one that started then."""
    try:
        created_s = float(psutil.Process(os_pid).create_time())
    except psutil.NoSuchProcess:
        return False
    # A later process that was given the same number was created after our worker started.
    return created_s <= started_s + START_TOLERANCE_S
