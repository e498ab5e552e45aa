"""Taking processes back from workers that vanished, and not from those that only look so."""

import logging
import platform
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import psutil
from sqlalchemy import Connection, select, update

from tianyu.manager.logs import FIELDS, fields
from tianyu.schema.crashpoints import CrashPoint, crash_point
from tianyu.schema.database import Database
from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import HardwareGroup, Process, Queue, Site, Worker
from tianyu.schema.states import State
from tianyu.schema.transitions.leases import Reaped, reap

logger = logging.getLogger(__name__)

START_TOLERANCE_S = 2.0
"""The clock of the database and that of the operating system may differ by this much."""

STALL = 0.5
"""Share of the shortest lease: workers renew theirs four times per lease, so a database that
was silent for less has made no lease run out."""


@dataclass(frozen=True)
class TakenBack:
    """A process taken back, and who had it."""

    process_id: int
    state: State
    run_id: int
    command: str
    attempt: int
    worker_id: str | None
    site: str
    group: str


class StalledError(Exception):
    """The database was silent for so long that no lease can be judged; roll back."""


@dataclass
class Reaper:
    """Judges leases, once it has seen the database healthy for as long as a lease lasts.

    After a stall of the database every lease looks expired, though the workers live: they get
    one full lease of a healthy database to renew it.
    """

    database: Database
    budget: int
    clock: Callable[[], float]
    _healthy_since: float | None = None
    _last_poll: float | None = None

    def distrust(self) -> None:
        """Begin to count anew: the database was away."""
        self._healthy_since = None

    def poll(self, leases_s: Sequence[float]) -> list[TakenBack]:
        """Note that the database answers, and take back what expired, if that can be judged.

        Parameters
        ----------
        leases_s : sequence of float
            Lengths of the leases in use, seconds.
        """
        now = self.clock()
        stall_s = STALL * min(leases_s)
        if self._last_poll is not None and now - self._last_poll > stall_s:
            self._healthy_since = None
        self._last_poll = now
        if self._healthy_since is None:
            self._healthy_since = now
        if now - self._healthy_since < max(leases_s):
            return []
        return self._reap(now + stall_s)

    def reap_dead_local_workers(self) -> list[TakenBack]:
        """Take back what workers of this host held that no longer run; see the manager."""
        with self.database.read() as connection:
            rows = connection.execute(
                select(Worker.id, Worker.os_pid, Worker.started_us).where(
                    Worker.host == platform.node(), Worker.stopped_us.is_(None)
                )
            ).all()
        dead = [row.id for row in rows if not _lives(row.os_pid, row.started_us / 1e6)]
        if not dead:
            return []
        taken = self.database.retry(lambda c: self._take_from(c, dead))
        _log(taken)
        return taken

    def _reap(self, deadline: float) -> list[TakenBack]:
        def work(connection: Connection) -> list[TakenBack]:
            taken = _described(connection, reap(connection, budget=self.budget))
            if taken:
                crash_point(CrashPoint.AFTER_REAP_BEFORE_COMMIT)
            # This very transaction may have waited while the workers did, too.
            if self.clock() > deadline:
                raise StalledError
            return taken

        try:
            taken = self.database.retry(work)
        except StalledError:
            self.distrust()
            return []
        _log(taken)
        return taken

    def _take_from(self, connection: Connection, workers: Collection[str]) -> list[TakenBack]:
        expired = connection.execute(
            update(Process)
            .where(Process.state == State.RUNNING.value, Process.worker_id.in_(workers))
            .values(lease_until=0)
        ).rowcount
        connection.execute(update(Worker).where(Worker.id.in_(workers)).values(stopped_us=now_us()))
        # Those that expired first are taken first: exactly these, and nobody else's.
        taken = reap(connection, budget=self.budget, limit=expired) if expired else []
        return _described(connection, taken)


def _described(connection: Connection, reaped: Collection[Reaped]) -> list[TakenBack]:
    state_of = {process.process_id: process.state for process in reaped}
    if not state_of:
        return []
    query = (
        select(
            Process.id, Process.run_id, Process.command, Process.attempt, Process.worker_id,
            Site.name.label("site"), HardwareGroup.name.label("group_name"),
        )
        .outerjoin(Queue, Queue.id == Process.queue_id)
        .outerjoin(Site, Site.id == Queue.site_id)
        .outerjoin(HardwareGroup, HardwareGroup.id == Queue.group_id)
        .where(Process.id.in_(state_of))
    )  # fmt: skip
    return [
        TakenBack(
            row.id, state_of[row.id], row.run_id, row.command, row.attempt, row.worker_id,
            row.site, row.group_name,
        )
        for row in connection.execute(query)
    ]  # fmt: skip


def _log(taken: Collection[TakenBack]) -> None:
    for process in taken:
        logger.warning(
            "took back %s from a vanished worker, now %s",
            process.command,
            process.state.value,
            extra=fields("reap", **{name: getattr(process, name) for name in FIELDS[1:]}),
        )


def _lives(os_pid: int, started_s: float) -> bool:
    """Tell whether an operating-system process is still the one that started then."""
    try:
        process = psutil.Process(os_pid)
        is_dead = process.status() == psutil.STATUS_ZOMBIE
        created_s = float(process.create_time())
    except psutil.NoSuchProcess:
        return False
    # A later process that was given the same number was created after our worker started.
    return not is_dead and created_s <= started_s + START_TOLERANCE_S
