"""Which runs were built upon what another one has measured."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import aliased

from tianyu.publisher.graph import ADOPTION_STEP
from tianyu.schema.states import State
from tianyu.schema.tables import Dependency, Observation, Process


@dataclass(frozen=True)
class Use:
    """A run that needs processes of another one, and why it still does."""

    run: int
    n_processes: int
    why: str


def uses_of(connection: Connection, run_id: int) -> list[Use]:
    """Return the runs that still need what a run has left, oldest first.

    One that has succeeded and been superseded needs nothing any more. What has not ended needs
    it, what failed needs it for its rescue, and the current one for the next verdict by hand.
    """
    ours, theirs = aliased(Process), aliased(Process)
    query = (
        select(theirs.run_id, func.count(ours.id.distinct()).label("n"))
        .select_from(ours)
        .join(Dependency, Dependency.parent == ours.id)
        .join(theirs, theirs.id == Dependency.child)
        # Masters and templates are used across runs too, but never purged.
        .where(ours.run_id == run_id, theirs.command == ADOPTION_STEP)
        .group_by(theirs.run_id)
        .order_by(theirs.run_id)
    )
    uses = [
        Use(row.run_id, row.n, _why(connection, row.run_id)) for row in connection.execute(query)
    ]
    return [use for use in uses if use.why]


def _why(connection: Connection, run_id: int) -> str:
    unfinished = select(func.count()).where(
        Process.run_id == run_id, Process.state != State.SUCCEEDED.value
    )
    if connection.scalar(unfinished):
        return "has not succeeded yet"
    shown = select(func.count()).where(Observation.current_run_id == run_id)
    return "is the current one of its observation" if connection.scalar(shown) else ""
