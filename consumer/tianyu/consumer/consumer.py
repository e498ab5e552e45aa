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
from tianyu.consumer.messages import Assignment, ClaimLost, Failed, Report, Succeeded
from tianyu.consumer.pool import ChildPool, Died
from tianyu.pipelines.step import all_steps
from tianyu.schema.database import Database
from tianyu.schema.directory import ensure_queue, find_site, register_worker, touch_worker
from tianyu.schema.errors import LostClaimError
from tianyu.schema.states import ErrorKind
from tianyu.schema.transitions.claim import Claim
from tianyu.schema.transitions.finish import Failure, Usage, cancel_running, fail, release

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.005
DISK_FULL_PAUSE_S = 30.0


@dataclass(frozen=True)
class ConsumerConfig:
    """What makes one consumer differ from another."""

    site: str
    groups: Sequence[str] = ("cpu",)
    processes: int = 1
    failure_budget: int = 3
    poll_s: float = 0.5


@dataclass
class Consumer:
    """One consumer with its pool of children.

    Parameters
    ----------
    database : Database
    broker : Broker
    config : ConsumerConfig
    """

    database: Database
    broker: Broker
    config: ConsumerConfig
    _draining: threading.Event = field(default_factory=threading.Event)
    _abandoning: threading.Event = field(default_factory=threading.Event)
    _paused_until: float = 0.0
    _unreported: list[tuple[Assignment, Report | Died]] = field(default_factory=list)
    _stopped_for: dict[int, str] = field(default_factory=dict)

    def drain(self) -> None:
        """Ask to finish what runs and stop; safe in a signal handler. Twice: stop at once."""
        if self._draining.is_set():
            self._abandoning.set()
        self._draining.set()

    def run(self, is_done: Callable[[], bool] | None = None) -> None:
        """Work until drained, or until ``is_done`` says so while nothing runs here."""
        self._join_site()
        self._pool.start()
        self._leases.start()
        try:
            self._loop(is_done)
        finally:
            self._leave()

    def _join_site(self) -> None:
        def work(connection: Connection) -> tuple[int, list[int], str]:
            site_id = find_site(connection, self.config.site)[0]
            queues = [ensure_queue(connection, site_id, group) for group in self.config.groups]
            return site_id, queues, register_worker(connection, site_id, self.config.groups)

        self._site_id, queue_ids, self._worker_id = self.database.retry(work)
        with self.database.read() as connection:
            _, self._root, lease_s = find_site(connection, self.config.site)
        self._limits = {name: step.time_limit_s for name, step in all_steps().items()}
        self._pool = ChildPool(self.database.text_url, self.config.processes)
        self._leases = LeaseKeeper(self.database, self._worker_id, lease_s)
        self._claimer = self._make_claimer(queue_ids, lease_s)

    def _make_claimer(self, queue_ids: list[int], lease_s: float) -> Claimer:
        if not self.broker.carries_messages:
            return DirectClaimer(self.database, queue_ids, self._worker_id, lease_s)
        self.broker.subscribe(
            [
                QueueAddress(queue_id, self.config.site, group)
                for queue_id, group in zip(queue_ids, self.config.groups, strict=True)
            ]
        )
        return HintedClaimer(self.database, self.broker, queue_ids, self._worker_id, lease_s)

    def _loop(self, is_done: Callable[[], bool] | None) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._abandoning.is_set():
            try:
                claimed = self._fill_idle()
                self._report_all()
            except DBAPIError as error:
                logger.warning("the database is away, trying again: %s", error)
                claimed = 0
            busy = bool(self._pool.busy() or self._unreported)
            if not busy and (self._draining.is_set() or (is_done is not None and is_done())):
                return
            # Doubling from milliseconds: quick while work flows, idle when there is none.
            pause_s = FIRST_PAUSE_S if claimed else min(2 * pause_s, self.config.poll_s)
            reports = list(self._pool.collect(pause_s))
            if reports:
                pause_s = FIRST_PAUSE_S
            self._unreported.extend(reports)
            self._enforce()

    def _fill_idle(self) -> int:
        if self._draining.is_set() or time.monotonic() < self._paused_until:
            return 0
        claimed = 0
        for child in self._pool.idle():
            claim = self._claimer.claim()
            if claim is None:
                break
            self._leases.hold(claim.process_id, claim.token)
            self._pool.assign(child, self._assignment(claim))
            claimed += 1
        return claimed

    def _assignment(self, claim: Claim) -> Assignment:
        logger.info(
            "started %s",
            claim.command,
            extra={
                "action": "start",
                "run_id": claim.run_id,
                "process_id": claim.process_id,
                "attempt": claim.attempt,
            },
        )
        return Assignment(
            process_id=claim.process_id,
            run_id=claim.run_id,
            command=claim.command,
            parameters=claim.parameters,
            attempt=claim.attempt,
            token=claim.token,
            site_id=self._site_id,
            root=self._root,
        )

    def _enforce(self) -> None:
        """Stop children whose claim is lost or cancelled, or whose time is up."""
        stops = self._leases.take_stops()
        for child in self._pool.busy():
            if child.assignment is None:
                continue
            process_id = child.assignment.process_id
            limit_s = self._limits.get(child.assignment.command, float("inf"))
            reason = stops.get(process_id)
            if reason is None and child.busy_s > limit_s:
                reason = f"it exceeded the time limit of its step, {limit_s:g} s"
            if reason is not None:
                self._stopped_for[process_id] = reason
                self._pool.kill(child)

    def _report_all(self) -> None:
        while self._unreported:
            assignment, report = self._unreported[0]
            self._report(assignment, report)
            self._unreported.pop(0)
            self._leases.let_go(assignment.process_id)
            self._stopped_for.pop(assignment.process_id, None)

    def _report(self, assignment: Assignment, report: Report | Died) -> None:
        extra = {
            "action": "end",
            "run_id": assignment.run_id,
            "process_id": assignment.process_id,
            "attempt": assignment.attempt,
        }
        if isinstance(report, Succeeded):
            logger.info("finished %s", assignment.command, extra=extra)
            self.broker.wake()
            return
        if isinstance(report, ClaimLost):
            logger.warning("lost the claim on %s", assignment.command, extra=extra)
            return
        text = self._record_end(assignment, report)
        logger.warning("%s did not succeed: %s", assignment.command, text, extra=extra)

    def _record_end(self, assignment: Assignment, report: Failed | Died) -> str:
        stopped_for = self._stopped_for.get(assignment.process_id)
        usage = report.usage if isinstance(report, Failed) else Usage()
        pid, token = assignment.process_id, assignment.token
        if stopped_for == "lost":
            return "another worker owns it by now"
        failure = (
            report.failure
            if isinstance(report, Failed)
            else Failure(ErrorKind.UNEXPECTED, stopped_for or str(report))
        )
        is_disk_full = isinstance(report, Failed) and report.is_disk_full
        if is_disk_full:
            self._paused_until = time.monotonic() + DISK_FULL_PAUSE_S

        def work(connection: Connection) -> None:
            if stopped_for == "cancelled":
                cancel_running(connection, pid, token, usage)
            elif is_disk_full:
                release(connection, pid, token, usage, pause_s=DISK_FULL_PAUSE_S)
            else:
                fail(connection, pid, token, failure, usage, budget=self.config.failure_budget)

        try:
            self.database.retry(work)
        except LostClaimError as error:
            return str(error)
        return stopped_for or failure.text

    def _leave(self) -> None:
        """Give back what is still ours, so that nobody has to wait for leases to run out."""
        held = [child.assignment for child in self._pool.busy() if child.assignment]
        self._leases.stop()
        self._pool.stop()
        try:
            for assignment in held:
                self._give_back(assignment)
            self.database.retry(lambda c: touch_worker(c, self._worker_id, stopped=True))
        except DBAPIError as error:
            logger.warning("could not say goodbye, the leases will run out: %s", error)

    def _give_back(self, assignment: Assignment) -> None:
        try:
            self.database.retry(
                lambda c: release(c, assignment.process_id, assignment.token, Usage())
            )
        except LostClaimError as error:
            logger.info("nothing to give back: %s", error)
