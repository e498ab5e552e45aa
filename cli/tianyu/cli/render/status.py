"""``tianyu status`` as a person sees it."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tianyu.cli.console import new_table
from tianyu.cli.queries.blocked import BlockedGroup
from tianyu.cli.queries.failures import FailedProcess
from tianyu.cli.queries.progress import StepProgress
from tianyu.cli.queries.running import RunningProcess
from tianyu.cli.queries.standing import Standing
from tianyu.cli.words import clock, duration, number, plural
from tianyu.schema.states import State

COLOURS = {
    State.WAITING: "dim",
    State.READY: "cyan",
    State.QUEUED: "cyan",
    State.RUNNING: "yellow",
    State.SUCCEEDED: "green",
    State.FAILED: "bold red",
    State.CANCELLED: "magenta",
    State.BLOCKED: "red",
}
"""One colour per state, the same in every table."""

SHOWN = 12
"""Failures or running processes listed; the rest is counted (``--json`` has them all)."""


def status_view(standings: Sequence[Standing]) -> RenderableType:
    """Return how runs stand, for the terminal."""
    if not standings:
        return Text("nothing has been published yet; start with `tianyu reduce PATH… --out DIR`")
    return Group(*(part for standing in standings for part in _run_parts(standing)))


def state_text(state: str) -> Text:
    """Return a state in its colour."""
    return Text(state, style=COLOURS[State(state)])


def _run_parts(standing: Standing) -> Iterator[RenderableType]:
    run = standing.run
    what = f" of {run.observation}" if run.observation else ""
    yield Text.from_markup(
        f"[bold]Run {run.run}[/bold]: {escape(run.recipe)}{escape(what)}, "
        f"published {clock(run.published)} UTC"
    )
    for note in run.notes:
        yield Text(note, style="dim")
    yield _steps_table(standing.steps)
    yield Text(_pace_line(standing))
    if standing.running:
        yield _running_table(standing.running)
    if standing.failed:
        yield _failed_table(standing.failed)
    if standing.blocked:
        yield _blocked_text(standing.blocked, run.run)
    yield Text("")


def _steps_table(steps: Sequence[StepProgress]) -> Table:
    states = [state for state in State if any(step.count(state) for step in steps)]
    table = new_table()
    table.add_column("step")
    for state in states:
        table.add_column(state.value, justify="right", style=COLOURS[state])
    table.add_column("all", justify="right")
    for step in steps:
        counts = [str(step.count(state) or "") for state in states]
        table.add_row(step.step, *counts, str(step.total))
    return table


def _pace_line(standing: Standing) -> str:
    """Return how far, how fast and how long, in one sentence."""
    done = standing.run.processes.get(State.SUCCEEDED.value, 0)
    parts = [f"{done} of {plural(standing.run.total, 'process', 'processes')} done"]
    pace = standing.pace
    if pace.elapsed_s is not None:
        parts.append(f"in {duration(pace.elapsed_s)}")
    if not standing.run.is_active:
        return " ".join(parts) + _ending(standing)
    if pace.per_minute:
        parts.append(f"({number(pace.per_minute, '.3g')} per minute lately)")
    if pace.left_s is not None:
        roughly = "roughly " if pace.is_rough else "about "
        parts.append(f"– {roughly}{duration(pace.left_s)} left")
    line = " ".join(parts)
    return line if standing.running else f"{line}\n{_idle_line(standing)}"


def _ending(standing: Standing) -> str:
    if not standing.failed:
        return ", all of them"
    return (
        f"; stopped, since {plural(len(standing.failed), 'process', 'processes')} did not succeed"
    )


def _idle_line(standing: Standing) -> str:
    ready = sum(step.count(State.READY, State.QUEUED) for step in standing.steps)
    if not ready:
        return "Nothing runs and nothing is ready: the manager has not looked yet, or does not run."
    verb = "is" if ready == 1 else "are"
    return (
        f"{plural(ready, 'process', 'processes')} {verb} ready, but nothing runs: start consumers, "
        "or repeat the `tianyu reduce` command to continue."
    )


def _running_table(running: Sequence[RunningProcess]) -> Table:
    table = new_table("Running")
    for name, justify in (("process", "left"), ("step", "left"), ("for", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]  # literals in a tuple
    table.add_column("worker")
    table.add_column("remarks")
    for process in running[:SHOWN]:
        table.add_row(
            process.process,
            process.step,
            duration(process.running_s),
            escape(process.worker or ""),
            "; ".join(_remarks(process)),
        )
    table.caption = _more(len(running))
    return table


def _remarks(process: RunningProcess) -> Iterator[str]:
    if process.attempt > 1:
        yield f"attempt {process.attempt}"
    if process.lease_left_s is not None and process.lease_left_s < 0:
        yield f"no sign of life, lease over for {duration(-process.lease_left_s)}"
    if process.cancel_requested:
        yield "asked to stop"


def _failed_table(failed: Sequence[FailedProcess]) -> Table:
    table = new_table("Did not succeed")
    table.add_column("process")
    table.add_column("step")
    table.add_column("attempts", justify="right")
    table.add_column("why", overflow="fold")
    for process in failed[:SHOWN]:
        why = Text(process.reason)
        if process.state == State.CANCELLED.value:
            why = Text("cancelled", style=COLOURS[State.CANCELLED])
        table.add_row(process.process, process.step, str(process.attempts), why)
    table.caption = _more(len(failed))
    return table


def _more(count: int) -> str | None:
    return f"and {count - SHOWN} more; --json lists them all" if count > SHOWN else None


def _blocked_text(groups: Sequence[BlockedGroup], run: int) -> Text:
    lines = [Text("Blocked", style="bold")]
    for group in groups:
        steps = ", ".join(f"{n} × {step}" for step, n in group.steps.items())
        by = _ancestors(group, run)
        count = plural(len(group.processes), "process", "processes")
        lines.append(Text(f"  {count} ({steps}) by {by}"))
    if any(group.ancestors for group in groups):
        lines.append(
            Text(f"Mend the cause, then `tianyu process retry PID` or `tianyu run rescue {run}`.")
        )
    return Text("\n").join(lines)


def _ancestors(group: BlockedGroup, run: int) -> str:
    if not group.ancestors:
        return "nothing any more: the manager frees them in its next round"
    named = [
        f"{a.step} {a.process} ({a.state}{'' if a.run == run else f', run {a.run}'})"
        for a in group.ancestors
    ]
    shown = " and ".join(named[:3])
    return shown if len(named) <= 3 else f"{shown} and {len(named) - 3} more"
