"""The manager: keeps the graph moving where no worker does.

Any number of managers may run; they share the work through the database and need no leader.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from tianyu.broker.interface import Broker
from tianyu.manager.dispatcher import Dispatcher
from tianyu.manager.logs import fields
from tianyu.manager.reaper import Reaper, TakenBack
from tianyu.schema.crashpoints import CrashPoint, crash_point
from tianyu.schema.database import Database
from tianyu.schema.engine_tables import Site
from tianyu.schema.transitions.blocking import reconcile

logger = logging.getLogger(__name__)

SWEEP_S = 10.0
"""How often lost messages are looked for; they wait for half a minute and more anyway."""

GATHER_S = 0.02
"""Between two rounds of a busy manager: a round costs the same for one event and for many."""


@dataclass
class Counts:
    """What a manager has done since its start, for metrics."""

    rounds: int = 0
    dispatched: int = 0
    messages_lost: int = 0
    leases_lost: int = 0
    outages: int = 0


DEFAULT_LEASE_S = 60.0
"""Where no site is known yet."""


@dataclass(frozen=True)
class ManagerConfig:
    """Budgets and rhythm of a manager.

    Attributes
    ----------
    lease_loss_budget : int
        Vanished workers after which a process fails for good.
    poll_s : float
        Longest pause between two rounds.
    """

    lease_loss_budget: int = 3
    poll_s: float = 0.5


@dataclass
class Manager:
    """Dispatches, blocks and frees descendants, takes processes back from vanished workers.

    Parameters
    ----------
    database : Database
    broker : Broker
    config : ManagerConfig
    clock : callable
        Monotonic time, seconds.

    Attributes
    ----------
    counts : Counts
    answered_at : float
        Time on ``clock`` at which the last round ended well.
    complaint : str or None
        Why the last round did not.
    """

    database: Database
    broker: Broker
    config: ManagerConfig = field(default_factory=ManagerConfig)
    clock: Callable[[], float] = time.monotonic
    counts: Counts = field(default_factory=Counts)
    complaint: str | None = None
    _next_sweep: float = 0.0
    _last_round: float = float("-inf")
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.answered_at = self.clock()
        self._reaper = Reaper(self.database, self.config.lease_loss_budget, self.clock)
        self._dispatcher = Dispatcher(self.database, self.broker)

    def stop(self) -> None:
        """Ask the loop to end after the current round; safe in a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Work round after round until stopped."""
        while not self._stopping.is_set():
            self._gather()
            try:
                moved = self.poll()
            except DBAPIError as error:
                self._reaper.distrust()
                self.counts.outages += 1
                self.complaint = str(error.orig or error).splitlines()[0]
                logger.warning(
                    "the database is away, trying again: %s", error, extra=fields("wait")
                )
                # Whatever wakes a manager, it does not hurry a database.
                self._stopping.wait(self.config.poll_s)
                continue
            if not moved:
                self.broker.wait(self.config.poll_s)
            elif not self.broker.carries_messages:
                # Those who work elsewhere have got their messages.
                self.broker.wake()

    def _gather(self) -> None:
        """Let pass a little since the last round: one serves everything that happens in it."""
        rest_s = self._last_round + GATHER_S - self.clock()
        if rest_s > 0:
            self._stopping.wait(rest_s)
        self._last_round = self.clock()

    def poll(self) -> bool:
        """Do one round; return whether anything moved."""
        moved = self.database.retry(reconcile) > 0
        if moved:
            crash_point(CrashPoint.AFTER_BLOCKING)
        taken_back = self._reaper.poll(self._leases_s())
        self.counts.leases_lost += len(taken_back)
        moved = bool(taken_back) or moved
        if self.broker.carries_messages:
            moved = self._deliver() or moved
        self.counts.rounds += 1
        self.answered_at, self.complaint = self.clock(), None
        return moved

    def reap_dead_local_workers(self) -> list[TakenBack]:
        """Take processes back at once from workers of this host that no longer run.

        For a single machine, where a killed reduction is continued without waiting for its
        leases; between machines, and between containers, only the lease can tell.
        """
        return self._reaper.reap_dead_local_workers()

    def _deliver(self) -> bool:
        dispatched = self._dispatcher.dispatch()
        self.counts.dispatched += dispatched
        moved = dispatched > 0
        if self.clock() >= self._next_sweep:
            self._next_sweep = self.clock() + SWEEP_S
            returned = self._dispatcher.sweep()
            self.counts.messages_lost += returned
            moved = returned > 0 or moved
        return moved

    def _leases_s(self) -> list[float]:
        with self.database.read() as connection:
            return list(connection.scalars(select(Site.lease_s))) or [DEFAULT_LEASE_S]
