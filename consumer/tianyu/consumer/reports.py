"""Recording in the database how attempts ended, other than by the success of their child."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

from sqlalchemy import Connection

from tianyu.consumer.children import Died, Stop, Stopped, told
from tianyu.consumer.claiming import claim_under, following_token
from tianyu.consumer.logs import EngineLog, about
from tianyu.consumer.messages import ClaimLost, Excuse, Failed, Succeeded
from tianyu.consumer.pool import Ended
from tianyu.schema.database import Database
from tianyu.schema.errors import LostClaimError
from tianyu.schema.states import ErrorKind
from tianyu.schema.transitions.claim import Claim
from tianyu.schema.transitions.finish import Failure, Usage, cancel_running, fail, release

OUTAGE_PAUSE_S = 1.0
"""Before a process is tried again that found the database away: it answers by now."""

PEER_PAUSE_S = 30.0
"""Before a process is tried again that found another site away: its step has waited already."""


@dataclass
class Reporter:
    """Writes down what became of claims.

    Attributes
    ----------
    paused_until : float
        Monotonic time before which nothing new is to be claimed: the disk is full.
    """

    database: Database
    log: EngineLog
    failure_budget: int
    disk_full_pause_s: float
    paused_until: float = 0.0

    def record(self, ended: Ended) -> bool:
        """Record one end; return whether the claim was still ours.

        Raises
        ------
        sqlalchemy.exc.DBAPIError
            If the database cannot be reached; to be called again then.
        """
        claim, report = ended.claim, ended.report
        if isinstance(report, Succeeded):
            self.log.info("finished %s", claim.command, extra=about("succeed", claim))
            return True
        if isinstance(report, ClaimLost) or _is(ended.stopped, Stop.CLAIM_LOST):
            self._after_all(ended, "another worker owns it by now")
            return False
        if isinstance(report, Failed) and report.excuse is Excuse.DISK_FULL:
            self.paused_until = time.monotonic() + self.disk_full_pause_s
            pausing = _releasing(ended, self.disk_full_pause_s)
            return self._write(ended, pausing, report.failure.text)
        return self._write(ended, *self._verdict(ended))

    def _verdict(self, ended: Ended) -> tuple[Callable[[Connection], object], str]:
        claim, report, stopped = ended.claim, ended.report, ended.stopped
        if _is(stopped, Stop.CANCELLED):
            usage = _usage(ended)
            return lambda c: cancel_running(c, claim.process_id, claim.token, usage), stopped.text
        if report is None:
            return _releasing(ended, 0.0), "its child was dead before it could begin"
        if isinstance(report, Failed):
            if report.excuse is not None:
                is_peer = report.excuse is Excuse.PEER_AWAY
                pause_s = PEER_PAUSE_S if is_peer else OUTAGE_PAUSE_S
                return _releasing(ended, pause_s), report.failure.text
            return self._failing(ended, report.failure), report.failure.text
        if _is(stopped, Stop.NO_FAULT):
            return _releasing(ended, 0.0), stopped.text
        text = _cause(stopped, report)
        return self._failing(ended, Failure(ErrorKind.UNEXPECTED, text)), text

    def _failing(self, ended: Ended, failure: Failure) -> Callable[[Connection], object]:
        claim, budget = ended.claim, self.failure_budget
        usage = _usage(ended)
        return lambda c: fail(c, claim.process_id, claim.token, failure, usage, budget=budget)

    def _write(self, ended: Ended, work: Callable[[Connection], object], text: str) -> bool:
        try:
            # Tried once: whoever reports also watches over children, and comes again.
            with self.database.write() as connection:
                outcome = work(connection)
        except LostClaimError:
            self._after_all(ended, "its attempt was ended already")
            return False
        where = getattr(outcome, "value", "cancelled")
        self._warn(ended, f"{text}; now {where}")
        return True

    def _after_all(self, ended: Ended, text: str) -> None:
        """Look after a claim that was not ours any more: the child may have succeeded and died.

        Then it may have claimed its next process with its success, and nobody else knows.
        """
        self._warn(ended, text)
        with self.database.write() as connection:
            following = claim_under(connection, following_token(ended.claim.token))
            if following is not None:
                release(connection, following.process_id, following.token, Usage())
        if following is not None:
            self.log.info("gave back %s", following.command, extra=about("release", following))

    def _warn(self, ended: Ended, text: str) -> None:
        claim = ended.claim
        self.log.warning("%s did not succeed: %s", claim.command, text, extra=about("end", claim))


def _is(stopped: Stopped | None, kind: Stop) -> TypeGuard[Stopped]:
    return stopped is not None and stopped.kind is kind


def _releasing(ended: Ended, pause_s: float) -> Callable[[Connection], object]:
    claim: Claim = ended.claim
    usage = _usage(ended)
    return lambda c: release(c, claim.process_id, claim.token, usage, pause_s=pause_s)


def _cause(stopped: Stopped | None, report: object) -> str:
    if stopped is None or not isinstance(report, Died):
        return str(report)
    # That it was killed is our doing; where it was then is what helps.
    return told(f"{stopped.text}: {report.event}", report)


def _usage(ended: Ended) -> Usage:
    report = ended.report
    if isinstance(report, Died):
        return Usage(cpu_s=report.cpu_s, peak_memory_bytes=report.peak_memory_bytes)
    return Usage() if report is None else report.usage
