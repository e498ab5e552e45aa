"""Which runs there are, and how their processes stand."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from tianyu.cli.words import plural, utc_of
from tianyu.schema.errors import NotFoundError
from tianyu.schema.states import TERMINAL, State
from tianyu.schema.tables import Observation, Process, Reduction, Run

_RUNS = (
    select(
        Run.id,
        Run.recipe,
        Run.recipe_version,
        Run.code_version,
        Run.created_us,
        Observation.name.label("observation"),
        Observation.current_run_id,
        Reduction.notes,
    )
    .outerjoin(Reduction, Reduction.run_id == Run.id)
    .outerjoin(Observation, Observation.id == Reduction.observation_id)
    .order_by(Run.id)
)

_COUNTS = select(
    Process.run_id,
    Process.state,
    func.count().label("n"),
    func.max(Process.finished_us).label("end"),
).group_by(Process.run_id, Process.state)

_ACTIVE = tuple(s.value for s in State if s not in TERMINAL and s is not State.BLOCKED)
"""States that end by themselves; a blocked process waits for a person."""

_UNFINISHED = (
    select(Process.run_id)
    .where(Process.state.in_(sorted(s.value for s in State if s not in TERMINAL)))
    .distinct()
)


@dataclass(frozen=True)
class RunSummary:
    """One run and how many of its processes are in which state."""

    run: int
    recipe: str
    recipe_version: int
    observation: str | None
    is_current: bool
    """Whether the view ``light_curve`` shows it."""
    notes: tuple[str, ...]
    """What is special about it, in words: one pass, processes of another run, few references."""
    code_version: str
    published: datetime | None
    finished: datetime | None
    """None while a process may still run; blocked ones wait for a rescue."""
    processes: Mapping[str, int]

    @property
    def total(self) -> int:
        """Number of processes."""
        return sum(self.processes.values())

    @property
    def is_active(self) -> bool:
        """Whether something can still happen without a person."""
        return any(self.processes.get(state) for state in _ACTIVE)


def list_runs(connection: Connection) -> list[RunSummary]:
    """Return every run, oldest first."""
    return _summaries(connection, None)


def read_run(connection: Connection, run: int) -> RunSummary:
    """Return one run.

    Raises
    ------
    NotFoundError
        If there is no such run; the text lists the newest ones.
    """
    found = _summaries(connection, [run])
    if not found:
        known = connection.scalars(select(Run.id).order_by(Run.id.desc()).limit(10)).all()
        there = ", ".join(map(str, known)) if known else "none; publish one first"
        raise NotFoundError(f"there is no run {run}; the newest runs: {there}")
    return found[0]


def runs_to_watch(connection: Connection) -> list[RunSummary]:
    """Return the runs a person most likely asks about.

    Those with processes that have not ended; when all have, the newest run.
    """
    wanted = sorted(connection.scalars(_UNFINISHED))
    if not wanted:
        newest = connection.scalar(select(func.max(Run.id)))
        wanted = [] if newest is None else [newest]
    return _summaries(connection, wanted)


def newest_reduction(connection: Connection, observation_id: int | None = None) -> int:
    """Return the run that is shown unless another is asked for: current, else newest.

    Raises
    ------
    NotFoundError
        If no run has reduced an observation.
    """
    query = (
        select(Reduction.run_id, Observation.current_run_id)
        .join(Observation, Observation.id == Reduction.observation_id)
        .order_by(Reduction.run_id.desc())
        .limit(1)
    )
    if observation_id is not None:
        query = query.where(Observation.id == observation_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(
            "no run has reduced an observation of light frames yet; start with "
            "`tianyu reduce PATH… --out DIR`"
        )
    return int(row.current_run_id or row.run_id)


def _summaries(connection: Connection, runs: list[int] | None) -> list[RunSummary]:
    query, counting = _RUNS, _COUNTS
    values = {}
    if runs is not None:
        wanted: Any = bindparam("runs", expanding=True)
        query, counting = (
            query.where(Run.id.in_(wanted)),
            counting.where(Process.run_id.in_(wanted)),
        )
        values = {"runs": runs}
    counts: dict[int, dict[str, int]] = {}
    ends: dict[int, int] = {}
    for count in connection.execute(counting, values):
        counts.setdefault(count.run_id, {})[count.state] = count.n
        ends[count.run_id] = max(ends.get(count.run_id, 0), count.end or 0)
    summaries = []
    for row in connection.execute(query, values):
        processes = counts.get(row.id, {})
        is_active = any(processes.get(state) for state in _ACTIVE)
        summary = RunSummary(
            run=row.id,
            recipe=row.recipe,
            recipe_version=row.recipe_version,
            observation=row.observation,
            is_current=row.current_run_id == row.id,
            notes=_in_words(row.notes or {}),
            code_version=row.code_version,
            published=utc_of(row.created_us),
            finished=None if is_active else utc_of(ends.get(row.id) or None),
            processes={s.value: processes[s.value] for s in State if s.value in processes},
        )
        summaries.append(summary)
    return summaries


def _in_words(notes: Mapping[str, Any]) -> tuple[str, ...]:
    words = [
        str(notes[name]) for name in ("template", "errors", "relative_photometry") if name in notes
    ]
    reused = notes.get("reused")
    if reused is not None:
        n = plural(reused["processes"], "process", "processes")
        words.append(f"{n} of run {reused['run']} not repeated, what they left is taken over")
    return tuple(words)
