"""Running one claimed process: validate, compute, commit the products with the success."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from tianyu.consumer.claiming import claim_under, following_token
from tianyu.consumer.messages import ClaimLost, Failed, Report, Succeeded, Workplace
from tianyu.consumer.outages import persist
from tianyu.consumer.outcomes import excuse_of, failure_of
from tianyu.consumer.usage import cpu_seconds, peak_memory_bytes
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.products import Products
from tianyu.pipelines.step import Step, StepParameters, find_step, validate
from tianyu.schema.crashpoints import CrashPoint, crash_point
from tianyu.schema.database import Database
from tianyu.schema.errors import LostClaimError
from tianyu.schema.transitions.claim import Claim, claim_next
from tianyu.schema.transitions.finish import Usage, has_succeeded, succeed


@dataclass(frozen=True)
class Executor:
    """Runs claims to their end.

    Attributes
    ----------
    may_take_next : callable
        Asked inside the transaction of a success: whether to claim the next process in it.
    """

    database: Database
    place: Workplace
    may_take_next: Callable[[], bool]

    def execute(self, claim: Claim) -> Report:
        """Run a process to its end and say how it went; never raises for what a step does."""
        context = StepContext(
            database=self.database,
            process_id=claim.process_id,
            run_id=claim.run_id,
            command=claim.command,
            attempt=claim.attempt,
            site_id=self.place.site_id,
            root=self.place.root,
        )
        meter = _Meter(context, cpu_seconds())
        try:
            parameters = validate(claim.command, claim.parameters)
            crash_point(CrashPoint.BEFORE_STEP)
            products = self._run(find_step(claim.command), parameters, context)
            crash_point(CrashPoint.AFTER_STEP)
            return self._commit(claim, products, meter)
        except Exception as error:  # noqa: BLE001 - whatever a step raises is an outcome, not a crash
            excuse = excuse_of(error, self.database)
            return Failed(failure_of(error), meter.usage(), excuse)

    def _run(self, step: Step[Any], parameters: StepParameters, context: StepContext) -> Products:
        """Run a step; a copy of this process that it forked ends here.

        The copy shares our connection to the database and our pipe to the consumer, and would
        report the same end a second time.
        """
        ours = os.getpid()
        try:
            products: Products = step.run(parameters, context)
        finally:
            if os.getpid() != ours:
                os._exit(0)
        return products

    def _commit(self, claim: Claim, products: Products, meter: "_Meter") -> Report:
        def work(connection: Connection) -> Succeeded:
            products.write(connection)
            crash_point(CrashPoint.AFTER_PRODUCTS)
            usage = meter.usage()
            n_children = succeed(connection, claim.process_id, claim.token, usage)
            crash_point(CrashPoint.AFTER_SUCCESS)
            following = self._take_next(connection, claim)
            crash_point(CrashPoint.BEFORE_COMMIT)
            # A chain goes on by itself.
            return Succeeded(usage, following, n_children > (following is not None))

        try:
            succeeded = persist(self.database, work)
        except (LostClaimError, IntegrityError) as error:
            # The answer to an earlier COMMIT may have been lost on its way: then the claim is
            # no longer running, or the products are there already, and all is well.
            committed = persist(self.database, lambda c: self._find_success(c, claim, meter))
            if committed is not None:
                return committed
            if isinstance(error, LostClaimError):
                return ClaimLost(meter.usage())
            raise
        crash_point(CrashPoint.AFTER_COMMIT)
        return succeeded

    def _take_next(self, connection: Connection, claim: Claim) -> Claim | None:
        if not self.may_take_next():
            return None
        token = following_token(claim.token)
        place = self.place
        return claim_next(
            connection,
            place.queue_ids,
            place.worker_id,
            place.lease_s,
            token,
            from_states=place.claimable,
        )

    def _find_success(
        self, connection: Connection, claim: Claim, meter: "_Meter"
    ) -> Succeeded | None:
        if not has_succeeded(connection, claim.process_id, claim.token):
            return None
        return Succeeded(meter.usage(), claim_under(connection, following_token(claim.token)))


@dataclass(frozen=True)
class _Meter:
    context: StepContext
    cpu_start_s: float

    def usage(self) -> Usage:
        return Usage(
            cpu_s=cpu_seconds() - self.cpu_start_s,
            peak_memory_bytes=peak_memory_bytes(),
            bytes_read=self.context.traffic.read,
            bytes_written=self.context.traffic.written,
        )
