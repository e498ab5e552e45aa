"""What a run has cost, by step: time, memory, bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, case, func, select

from tianyu.cli.words import US_PER_S
from tianyu.schema.states import Outcome
from tianyu.schema.tables import Attempt, Frame, Process

_COSTS = (
    select(
        Process.command,
        func.count(func.distinct(Process.id)).label("processes"),
        func.count(Attempt.id).label("attempts"),
        func.sum(case((Attempt.outcome != Outcome.SUCCEEDED.value, 1), else_=0)).label("wasted"),
        func.sum(Attempt.finished_us - Attempt.started_us).label("wall_us"),
        func.sum(Attempt.cpu_s).label("cpu_s"),
        func.max(Attempt.peak_memory_bytes).label("peak"),
        func.sum(Attempt.bytes_read).label("bytes_read"),
        func.sum(Attempt.bytes_written).label("bytes_written"),
        func.min(Process.id).label("first"),
    )
    .outerjoin(Attempt, Attempt.process_id == Process.id)
    .where(Process.run_id == bindparam("run"))
    .group_by(Process.command)
    .order_by(func.min(Process.id))
)

_SPAN = (
    select(func.min(Attempt.started_us).label("start"), func.max(Attempt.finished_us).label("end"))
    .join(Process, Process.id == Attempt.process_id)
    .where(Process.run_id == bindparam("run"))
)


@dataclass(frozen=True)
class StepCost:
    """All attempts of one step in one run, also those that failed.

    ``wall_s`` sums the attempts; with several workers it exceeds the time that has passed.
    """

    step: str
    processes: int
    attempts: int
    unsuccessful: int
    wall_s: float | None
    cpu_s: float | None
    peak_memory_bytes: int | None
    bytes_read: int | None
    bytes_written: int | None


@dataclass(frozen=True)
class RunCost:
    """The steps of a run with their costs, in the order of its graph."""

    elapsed_s: float | None
    """From the first start to the last end, on the clock."""
    n_frames: int
    """Light frames that the run has measured; 0 for runs without any."""
    steps: Sequence[StepCost]

    @property
    def total(self) -> StepCost:
        """Sum over the steps; the peak is the largest of any."""
        return StepCost(
            step="total",
            processes=sum(s.processes for s in self.steps),
            attempts=sum(s.attempts for s in self.steps),
            unsuccessful=sum(s.unsuccessful for s in self.steps),
            wall_s=sum(s.wall_s or 0.0 for s in self.steps),
            cpu_s=sum(s.cpu_s or 0.0 for s in self.steps),
            peak_memory_bytes=max((s.peak_memory_bytes or 0 for s in self.steps), default=0),
            bytes_read=sum(s.bytes_read or 0 for s in self.steps),
            bytes_written=sum(s.bytes_written or 0 for s in self.steps),
        )


def read_costs(connection: Connection, run: int) -> RunCost:
    """Return what a run has cost so far."""
    span = connection.execute(_SPAN, {"run": run}).one()
    n_frames = connection.scalar(select(func.count()).where(Frame.run_id == run)) or 0
    steps = [
        StepCost(
            step=row.command,
            processes=row.processes,
            attempts=row.attempts,
            unsuccessful=int(row.wasted or 0),
            wall_s=None if row.wall_us is None else float(row.wall_us) / US_PER_S,
            cpu_s=row.cpu_s,
            peak_memory_bytes=row.peak,
            # MySQL sums whole numbers as decimals.
            bytes_read=None if row.bytes_read is None else int(row.bytes_read),
            bytes_written=None if row.bytes_written is None else int(row.bytes_written),
        )
        for row in connection.execute(_COSTS, {"run": run})
    ]
    elapsed_s = None if span.start is None else (span.end - span.start) / US_PER_S
    return RunCost(elapsed_s=elapsed_s, n_frames=n_frames, steps=steps)
