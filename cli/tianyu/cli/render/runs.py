"""``tianyu run`` as a person sees it."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tianyu.cli.console import new_table
from tianyu.cli.queries.costs import RunCost, StepCost
from tianyu.cli.queries.runs import RunSummary
from tianyu.cli.words import clock, duration, number, size


def runs_table(runs: Sequence[RunSummary]) -> Table:
    """Return a line per run."""
    table = new_table()
    table.add_column("run", justify="right")
    for name in (
        "current",
        "recipe",
        "observation",
        "published (UTC)",
        "finished (UTC)",
        "processes",
    ):
        table.add_column(name)
    for run in runs:
        states = ", ".join(f"{n} {state}" for state, n in run.processes.items())
        table.add_row(
            str(run.run),
            "●" if run.is_current else "",
            run.recipe,
            Text(run.observation or ""),
            clock(run.published),
            clock(run.finished),
            states,
        )
    return table


def run_view(run: RunSummary, cost: RunCost) -> RenderableType:
    """Return a run and its costs by step."""
    states = ", ".join(f"{n} {state}" for state, n in run.processes.items())
    facts = Table.grid(padding=(0, 2))
    facts.add_row("run", Text(str(run.run), style="bold"))
    facts.add_row("recipe", f"{run.recipe}, version {run.recipe_version}")
    if run.observation:
        facts.add_row("observation", Text(run.observation))
        facts.add_row("current", "yes" if run.is_current else "no")
    for note in run.notes:
        facts.add_row("note", Text(note))
    facts.add_row("published", f"{clock(run.published)} UTC by tianyu {run.code_version}")
    facts.add_row("finished", f"{clock(run.finished)} UTC" if run.finished else "not yet")
    facts.add_row("elapsed", duration(cost.elapsed_s))
    facts.add_row("processes", states)
    if cost.n_frames:
        facts.add_row("frames", str(cost.n_frames))
    return Group(facts, _cost_table(cost))


def _cost_table(cost: RunCost) -> Table:
    table = new_table()
    table.add_column("step")
    for name in ("processes", "attempts", "wall", "CPU", "peak memory", "read", "written"):
        table.add_column(name, justify="right")
    if cost.n_frames:
        for name in ("wall/frame", "CPU/frame", "read/frame", "written/frame"):
            table.add_column(name, justify="right")
    for step in cost.steps:
        table.add_row(*_cost_cells(step, cost.n_frames))
    table.add_section()
    table.add_row(*_cost_cells(cost.total, cost.n_frames), style="bold")
    return table


def _cost_cells(step: StepCost, n_frames: int) -> list[str]:
    lost = f" ({step.unsuccessful} in vain)" if step.unsuccessful else ""
    cells = [
        step.step,
        str(step.processes),
        f"{step.attempts}{lost}",
        _seconds(step.wall_s),
        _seconds(step.cpu_s),
        size(step.peak_memory_bytes),
        size(step.bytes_read),
        size(step.bytes_written),
    ]
    if n_frames:
        cells += [_per_frame(step.wall_s, n_frames), _per_frame(step.cpu_s, n_frames)]
        cells += [
            size(None if total is None else total / n_frames)
            for total in (step.bytes_read, step.bytes_written)
        ]
    return cells


def _seconds(value: float | None) -> str:
    """Return seconds of one format, so that a column can be compared by eye."""
    return number(value, ".2f") + ("" if value is None else " s")


def _per_frame(total_s: float | None, n_frames: int) -> str:
    return "–" if total_s is None else f"{1000.0 * total_s / n_frames:.1f} ms"
