"""The consumer: claims processes, runs them in child processes, reports how they ended."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from tianyu.broker.interface import Broker, QueueAddress
from tianyu.consumer.claiming import Claimer, DirectClaimer, HintedClaimer
from tianyu.consumer.leases import LeaseKeeper
from tianyu.consumer.limits import Limits
from tianyu.consumer.logs import EngineLog, about
from tianyu.consumer.messages import Succeeded, Workplace
from tianyu.consumer.observer import Observer
from tianyu.consumer.outages import is_outage
from tianyu.consumer.outcomes import is_disk_full
from tianyu.consumer.pool import ChildPool, Ended
from tianyu.consumer.preparing import comes_before_frames
from tianyu.consumer.reports import Reporter
from tianyu.pipelines.gpu import gpu_namespace
from tianyu.pipelines.kernels import GPU_GROUP, gpu_kernels
from tianyu.pipelines.step import all_steps
from tianyu.schema.crashpoints import CrashPoint, crash_point
from tianyu.schema.database import Database
from tianyu.schema.dialects import is_transient
from tianyu.schema.directory import ensure_queue, find_site, register_worker, touch_worker
from tianyu.schema.states import State
from tianyu.schema.transitions.claim import Claim

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.005
LINGER_S = 0.005


@dataclass(frozen=True)
class ConsumerConfig:
    """What makes one consumer differ from another.

    Attributes
    ----------
    site : str
    groups : sequence of str
        Hardware groups whose processes it runs.
    processes : int
        Children, and so processes at a time.
    failure_budget : int
        Failed attempts after which a process fails for good.
    poll_s : float
        Longest pause between two looks for work.
    memory_limit_bytes : int or None
        Most that a child and its subprocesses may hold; None: whatever there is.
    disk_full_pause_s : float
        How long nothing is begun after a full disk was met.
    """

    site: str
    groups: Sequence[str] = ("cpu",)
    processes: int = 1
    failure_budget: int = 3
    poll_s: float = 0.5
    memory_limit_bytes: int | None = None
    disk_full_pause_s: float = 30.0


@dataclass
class Consumer:
    """One consumer with its pool of children.

    Parameters
    ----------
    database : Database
    broker : Broker
    config : ConsumerConfig
    observer : Observer
        Told of what happens.
    """

    database: Database
    broker: Broker
    config: ConsumerConfig
    observer: Observer = field(default_factory=Observer)
    _draining: threading.Event = field(default_factory=threading.Event)
    _abandoning: threading.Event = field(default_factory=threading.Event)
    _pool: ChildPool | None = None
    _unreported: list[Ended] = field(default_factory=list)
    _turned_at: float | None = None
    _measures_nights: bool = False

    @property
    def turned_at(self) -> float | None:
        """Monotonic time of the last turn of the loop; None before the first."""
        return self._turned_at

    @property
    def is_draining(self) -> bool:
        """Whether it claims no more."""
        return self._draining.is_set()

    @property
    def paused_s(self) -> float:
        """For how long it begins nothing more because of a full disk, seconds."""
        return max(self._reporter.paused_until - time.monotonic(), 0.0)

    @property
    def leases(self) -> LeaseKeeper:
        """The keeper of its leases; there once the loop turns."""
        return self._leases

    def children(self) -> tuple[int, int]:
        """Return how many children work, and how many wait for work."""
        children = list(self._pool.children) if self._pool is not None else []
        n_busy = sum(child.claim is not None for child in children)
        return n_busy, len(children) - n_busy

    def drain(self) -> None:
        """Ask to finish what runs and stop; safe in a signal handler. Twice: stop at once."""
        if self._draining.is_set():
            self._abandoning.set()
        self._draining.set()
        if self._pool is not None:
            self._pool.let_take_next(False)
            self._pool.wake()

    def run(self, is_done: Callable[[], bool] | None = None) -> None:
        """Work until drained, or until ``is_done`` says so while nothing runs here.

        Raises
        ------
        NotFoundError
            If there is no such site.
        ConfigurationError
            If a module with steps cannot be imported, or a consumer of group gpu has no GPU.
        ChildStartError
            If no child can start.
        """
        pool = self._join_site()
        try:
            pool.start()
            # While the children start: whatever is wrong with a step shows before work begins.
            limits = {name: step.time_limit_s for name, step in all_steps().items()}
            self._limits = Limits(limits, self.config.memory_limit_bytes)
            self._leases.start()
            self._loop(pool, is_done)
        finally:
            self._leave(pool)

    def _join_site(self) -> ChildPool:
        has_gpu = GPU_GROUP in self.config.groups or gpu_kernels()
        if has_gpu:
            gpu_namespace()  # before anybody is told that there is a worker

        def work(connection: Connection) -> tuple[int, list[int], str]:
            site_id = find_site(connection, self.config.site)[0]
            queues = [ensure_queue(connection, site_id, group) for group in self.config.groups]
            return site_id, queues, register_worker(connection, site_id, self.config.groups)

        site_id, queue_ids, worker_id = self.database.retry(work)
        with self.database.read() as connection:
            _, root, lease_s = find_site(connection, self.config.site)
        place = Workplace(
            database_url=self.database.text_url,
            site_id=site_id,
            root=root,
            worker_id=worker_id,
            queue_ids=tuple(queue_ids),
            lease_s=lease_s,
            claimable=self._claimable(),
            has_gpu=has_gpu,
        )
        self._worker_id = worker_id
        names = {"site": self.config.site, "group": ",".join(self.config.groups)}
        self._log = EngineLog(logger, {**names, "worker_id": worker_id})
        self._reporter = Reporter(
            self.database, self._log, self.config.failure_budget, self.config.disk_full_pause_s
        )
        self._claimer = self._make_claimer(place)
        self._pool = pool = ChildPool(place, self.config.processes)
        self._leases = LeaseKeeper(self.database, worker_id, lease_s, self._log, pool.wake)
        return pool

    def _claimable(self) -> tuple[State, ...]:
        # What was handed to a broker is the most urgent; its message is only a hint.
        return (State.QUEUED, State.READY) if self.broker.carries_messages else (State.READY,)

    def _make_claimer(self, place: Workplace) -> Claimer:
        of_place = (place.queue_ids, place.worker_id, place.lease_s, place.claimable)
        if not self.broker.carries_messages:
            return DirectClaimer(self.database, *of_place)
        queues = [
            QueueAddress(queue_id, self.config.site, group)
            for queue_id, group in zip(place.queue_ids, self.config.groups, strict=True)
        ]
        self.broker.subscribe(queues, prefetch=self.config.processes)
        return HintedClaimer(self.database, self.broker, *of_place)

    def _loop(self, pool: ChildPool, is_done: Callable[[], bool] | None) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._abandoning.is_set():
            self._turned_at = time.monotonic()
            try:
                self._report_all()
                moved = self._fill_idle(pool)
                if self._measures_nights:
                    pool.prepare_idle()
                if not (pool.busy() or self._unreported) and self._is_over(is_done):
                    return
            except DBAPIError as error:
                self._forgive(error)
                moved = False
            # Doubling from milliseconds: quick while work flows, idle when there is none.
            pause_s = FIRST_PAUSE_S if moved else min(2 * pause_s, self.config.poll_s)
            ended = list(pool.collect(pause_s))
            for one in ended:
                pause_s = FIRST_PAUSE_S
                self._note(one)
            self._enforce(pool)
            if ended and not pool.idle():
                # Nobody waits for us; steps of a millisecond then report in handfuls.
                time.sleep(LINGER_S)

    def _is_over(self, is_done: Callable[[], bool] | None) -> bool:
        return self._draining.is_set() or (is_done is not None and is_done())

    def _forgive(self, error: DBAPIError) -> None:
        """Let pass what passes of itself; raise what is wrong with the database or with us."""
        if is_disk_full(error):
            self._reporter.paused_until = time.monotonic() + self.config.disk_full_pause_s
        elif not is_transient(error) and not is_outage(error, self.database):
            raise error
        self._log.warning("the database is away, trying again: %s", error, extra=_action("wait"))

    def _fill_idle(self, pool: ChildPool) -> bool:
        is_open = not self._draining.is_set() and time.monotonic() >= self._reporter.paused_until
        pool.let_take_next(is_open)
        idle = pool.idle() if is_open else []
        # With nothing else to watch, the announcement itself is waited for.
        wait_s = self.config.poll_s if len(idle) == len(pool.children) else 0.0
        for number, child in enumerate(idle):
            claim = self._claimer.claim(wait_s if number == 0 else 0.0)
            if claim is None:
                return number > 0
            self._begin(claim)
            crash_point(CrashPoint.AFTER_CLAIM_BEFORE_ASSIGN)
            pool.assign(child, claim)
        return bool(idle)

    def _begin(self, claim: Claim) -> None:
        self._leases.hold(claim)
        self._measures_nights |= comes_before_frames(claim)
        self._log.info("started %s", claim.command, extra=about("start", claim))

    def _note(self, ended: Ended) -> None:
        if isinstance(ended.report, Succeeded) and ended.report.next is not None:
            self._begin(ended.report.next)
        self._unreported.append(ended)

    def _report_all(self) -> None:
        while self._unreported:
            ended = self._unreported[0]
            if not isinstance(ended.report, Succeeded):
                crash_point(CrashPoint.BEFORE_FAILURE_RECORDED)
            was_ours = self._reporter.record(ended)
            crash_point(CrashPoint.AFTER_REPORT)
            del self._unreported[0]
            self.observer.ended(ended, was_ours=was_ours)
            self._leases.let_go(ended.claim)
            if self._is_news(ended):
                self.broker.wake()

    def _is_news(self, ended: Ended) -> bool:
        """Tell whether a manager has something to do now."""
        if not isinstance(ended.report, Succeeded):
            return True
        # Where the table is the queue, a success leaves nothing for a manager to do.
        return self.broker.carries_messages and ended.report.leaves_work

    def _enforce(self, pool: ChildPool) -> None:
        """Stop children whose claim is lost or cancelled, or who need too much."""
        stops = self._leases.take_stops()
        for child in pool.children:
            self._limits.enforce(child, stops, spare_slow=self._leases.is_database_away)
        if self._limits.is_time_to_look():
            for child in pool.children:
                self._limits.weigh(child)

    def _leave(self, pool: ChildPool) -> None:
        """Give back what is still ours, so that nobody has to wait for leases to run out."""
        self._unreported.extend(pool.stop())
        try:
            self._report_all()
            self.database.retry(lambda c: touch_worker(c, self._worker_id, stopped=True))
        except DBAPIError as error:
            self._log.warning(
                "could not say goodbye, the leases will run out: %s", error, extra=_action("stop")
            )
        self._leases.stop()


def _action(name: str) -> dict[str, object]:
    return {"action": name}
