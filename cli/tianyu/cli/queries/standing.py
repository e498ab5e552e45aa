"""The whole answer of ``tianyu status`` for one run."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from tianyu.cli.queries.blocked import BlockedGroup, read_blocked
from tianyu.cli.queries.failures import FailedProcess, read_failures
from tianyu.cli.queries.progress import Pace, StepProgress, read_pace, read_progress
from tianyu.cli.queries.running import RunningProcess, read_running
from tianyu.cli.queries.runs import RunSummary


@dataclass(frozen=True)
class Standing:
    """How one run stands."""

    run: RunSummary
    steps: Sequence[StepProgress]
    pace: Pace
    running: Sequence[RunningProcess]
    failed: Sequence[FailedProcess]
    blocked: Sequence[BlockedGroup]


def read_standing(connection: Connection, run: RunSummary) -> Standing:
    """Return how a run stands; all in one transaction, so that the parts agree."""
    steps = read_progress(connection, run.run)
    return Standing(
        run=run,
        steps=steps,
        pace=read_pace(connection, run.run, steps),
        running=read_running(connection, run.run),
        failed=read_failures(connection, run.run),
        blocked=read_blocked(connection, run.run),
    )
