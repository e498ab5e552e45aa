"""Running one claimed process: validate, compute, commit the products with the success."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from tianyu.consumer.messages import Assignment, ClaimLost, Failed, Report, Succeeded
from tianyu.consumer.outcomes import failure_of, is_disk_full
from tianyu.consumer.usage import cpu_seconds, peak_memory_bytes
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.products import Products
from tianyu.pipelines.step import find_step, validate
from tianyu.schema.database import Database
from tianyu.schema.errors import LostClaimError
from tianyu.schema.transitions.finish import Usage, has_succeeded, succeed


@dataclass
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


def execute(database: Database, assignment: Assignment) -> Report:
    """Run a process to its end and say how it went; never raises for what a step does."""
    context = StepContext(
        database=database,
        process_id=assignment.process_id,
        run_id=assignment.run_id,
        command=assignment.command,
        attempt=assignment.attempt,
        site_id=assignment.site_id,
        root=assignment.root,
    )
    meter = _Meter(context, cpu_seconds())
    try:
        parameters = validate(assignment.command, assignment.parameters)
        products = find_step(assignment.command).run(parameters, context)
        return _commit(database, assignment, products, meter.usage)
    except Exception as error:  # noqa: BLE001 - whatever a step raises is an outcome, not a crash
        return Failed(failure_of(error), meter.usage(), is_disk_full(error))


def _commit(
    database: Database, assignment: Assignment, products: Products, usage: Callable[[], Usage]
) -> Report:
    def work(connection: Connection) -> None:
        products.write(connection)
        succeed(connection, assignment.process_id, assignment.token, usage())

    try:
        database.retry(work)
    except LostClaimError:
        # The answer to an earlier COMMIT may have been lost on its way: then it was ours.
        with database.read() as connection:
            done = has_succeeded(connection, assignment.process_id, assignment.token)
        return Succeeded(usage()) if done else ClaimLost(usage())
    return Succeeded(usage())
