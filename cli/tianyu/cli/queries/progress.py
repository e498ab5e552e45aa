"""How far a run is: its processes by step and state, its pace, the time that is left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select

from tianyu.cli.words import US_PER_S
from tianyu.schema.dialects import now_us
from tianyu.schema.states import Outcome, State
from tianyu.schema.tables import Attempt, Process

PACE_WINDOW_S = 600.0
"""The rate is that of the last ten minutes: long enough for slow steps, short enough to tell
that workers came or went."""

_TO_DO = (State.WAITING, State.READY, State.QUEUED, State.RUNNING)

_COUNTS = (
    select(
        Process.command,
        Process.state,
        func.count().label("n"),
        func.min(Process.id).label("first"),
    )
    .where(Process.run_id == bindparam("run"))
    .group_by(Process.command, Process.state)
)

_WALL = (
    select(
        Process.command,
        func.avg(Attempt.finished_us - Attempt.started_us).label("mean_us"),
        func.min(Attempt.started_us).label("first_us"),
        func.max(Attempt.finished_us).label("last_us"),
    )
    .join(Attempt, Attempt.process_id == Process.id)
    .where(Process.run_id == bindparam("run"), Attempt.outcome == Outcome.SUCCEEDED.value)
    .group_by(Process.command)
)

_RECENT = select(func.count()).where(
    Process.run_id == bindparam("run"),
    Process.state == State.SUCCEEDED.value,
    Process.finished_us >= bindparam("since"),
)


@dataclass(frozen=True)
class StepProgress:
    """The processes of one step of a run, by state."""

    step: str
    processes: Mapping[str, int]

    @property
    def total(self) -> int:
        """Number of processes."""
        return sum(self.processes.values())

    def count(self, *states: State) -> int:
        """Return how many are in any of these states."""
        return sum(self.processes.get(state.value, 0) for state in states)


@dataclass(frozen=True)
class Pace:
    """How fast a run goes, by the clock of the database.

    Attributes
    ----------
    elapsed_s : float or None
        Since the first process of the run started; up to its last end when nothing is left.
    per_minute : float or None
        Processes that succeeded per minute, over the last ten minutes.
    left_s : float or None
        Work that is left (mean time of a step × its processes to do) over what runs at once.
        None when nothing is left or nothing runs.
    is_rough : bool
        Whether a step to do has not been timed yet and was taken for an average one.
    """

    elapsed_s: float | None
    per_minute: float | None
    left_s: float | None
    is_rough: bool


def read_progress(connection: Connection, run: int) -> list[StepProgress]:
    """Return the steps of a run in the order of its graph."""
    counts: dict[str, dict[str, int]] = {}
    first: dict[str, int] = {}
    for row in connection.execute(_COUNTS, {"run": run}):
        counts.setdefault(row.command, {})[row.state] = row.n
        first[row.command] = min(first.get(row.command, row.first), row.first)
    return [
        StepProgress(step, {s.value: counts[step][s.value] for s in State if s in counts[step]})
        for step in sorted(counts, key=lambda step: first[step])
    ]


def read_pace(connection: Connection, run: int, steps: Sequence[StepProgress]) -> Pace:
    """Measure how fast a run goes, and estimate the time that is left."""
    walls = connection.execute(_WALL, {"run": run}).all()
    to_do = sum(step.count(*_TO_DO) for step in steps)
    if not walls:
        return Pace(None, None, None, is_rough=to_do > 0)
    now = int(connection.scalar(select(now_us())) or 0)
    start = min(row.first_us for row in walls)
    end = now if to_do else max(row.last_us for row in walls)
    window_us = min(PACE_WINDOW_S * US_PER_S, max(end - start, 1))
    done = connection.scalar(_RECENT, {"run": run, "since": int(end - window_us)}) or 0
    seconds = {row.command: float(row.mean_us) / US_PER_S for row in walls}
    left_s, is_rough = _time_left(steps, seconds)
    return Pace(
        elapsed_s=(end - start) / US_PER_S,
        per_minute=60.0 * done * US_PER_S / window_us,
        left_s=left_s,
        is_rough=is_rough,
    )


def _time_left(
    steps: Sequence[StepProgress], seconds: Mapping[str, float]
) -> tuple[float | None, bool]:
    running = sum(step.count(State.RUNNING) for step in steps)
    if not running:
        return None, False
    average_s = sum(seconds.values()) / len(seconds)
    work_s, is_rough = 0.0, False
    for step in steps:
        # What runs is on average half done.
        n = step.count(*_TO_DO) - 0.5 * step.count(State.RUNNING)
        work_s += n * seconds.get(step.step, average_s)
        is_rough |= n > 0 and step.step not in seconds
    return work_s / running, is_rough
