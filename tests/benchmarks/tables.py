"""The measurements as tables for people."""

import platform
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from tests.benchmarks.chain import ChainCost
from tests.benchmarks.comparison import Rounds
from tests.benchmarks.consumers import Gain, gains
from tests.benchmarks.goals import GOALS, Measured
from tests.benchmarks.metering import Cost

Row = tuple[str, Cost]


def machine() -> dict[str, Any]:
    """Say on what the figures were taken; times depend on it."""
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": psutil.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load": psutil.getloadavg(),
    }


def steps_as_json(rounds: Rounds) -> dict[str, Any]:
    """Return per frame and step: ms on the clock and of the processor, bytes over raw size."""
    return {
        "reading": _numbers(_median(rounds.reading), _raw_bytes(rounds)),
        "astropy_sep": _of_stages(rounds),
        "photutils": _numbers(_median(rounds.photutils), _raw_bytes(rounds)),
        **{
            name: {step: _numbers(cost, _raw_bytes(rounds)) for step, cost in _of_steps(costs)}
            for name, costs in _designs(rounds).items()
        },
        "consumers": {
            step: {"one_s": gain.one_s, "two_s": gain.two_s, "each": gain.each}
            for step, gain in _gains(rounds).items()
        },
        "peak_memory_mb": {name: peak / 1e6 for name, peak in rounds.peaks.items()},
        "sources": rounds.two_pass[0].n_sources,
        "frames": rounds.two_pass[0].n_frames,
    }


def print_steps(console: Console, rounds: Rounds) -> None:
    """Print what every step costs per frame."""
    raw = _raw_bytes(rounds)
    n = rounds.two_pass[0].n_frames
    table = Table(title=f"Per frame, {n} frames: medians of {len(rounds.reading)} rounds")
    table.add_column("step")
    for name in ("ms", "processor ms", "read / raw", "written / raw"):
        table.add_column(name, justify="right")
    _add(table, "reading the bytes, warm", _median(rounds.reading), raw)
    for stage in rounds.sep_stages[0]:
        _add(table, f"astropy + SEP: {stage}", _median([s[stage] for s in rounds.sep_stages]), raw)
    _add(table, "astropy + SEP", _median(rounds.astropy_sep), raw, "bold")
    _add(table, "photutils", _median(rounds.photutils), raw, "bold")
    for name, costs in _designs(rounds).items():
        for step, cost in _of_steps(costs):
            _add(table, f"{name}: {step}", cost, raw)
        total = _median([c.cost(commits=True).times(1 / c.n_frames) for c in costs])
        _add(table, f"{name}, up to fluxes", total, raw, "bold")
    console.print(table)
    peaks = ", ".join(f"{name} {peak / 1e6:.0f} MB" for name, peak in rounds.peaks.items())
    console.print(f"peak memory: {peaks}")
    console.print("astropy reads by memory maps, which no counter of the system shows")


def print_consumers(console: Console, rounds: Rounds) -> None:
    """Print the time of every step with one and with two children."""
    if not rounds.one_core:
        return
    table = Table(title="Time on the clock, s, with one and with two children, a core for each")
    table.add_column("step")
    for name in ("one", "two", "gain", "of each process"):
        table.add_column(name, justify="right")
    for step, gain in _gains(rounds).items():
        each = "" if gain.each is None else f"{gain.each:.2f}"
        table.add_row(step, f"{gain.one_s:.2f}", f"{gain.two_s:.2f}", f"{gain.on_clock:.2f}", each)
    console.print(table)


def _gains(rounds: Rounds) -> dict[str, Gain]:
    return gains(rounds.one_core, rounds.two_children) if rounds.one_core else {}


def print_ratios(console: Console, measured: Mapping[str, Measured]) -> None:
    """Print the goals with what was measured."""
    table = Table(title="Goals: medians; spread over the rounds; ratios of processor times")
    table.add_column("")
    for name in ("goal", "value", "spread", "on the clock"):
        table.add_column(name, justify="right")
    table.add_column("")
    for goal in GOALS:
        if goal.name not in measured:
            continue
        found = measured[goal.name]
        sign = "≥" if goal.more_is_better else "≤"
        limit = "" if goal.limit is None else f"{sign} {goal.limit:g} {goal.unit}"
        is_met = goal.is_met(found.value)
        words = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}
        table.add_row(
            goal.text,
            limit,
            f"{found.value:.3g} {goal.unit}",
            f"{min(found.rounds):.3g}–{max(found.rounds):.3g}",
            "" if found.wall_value is None else f"{found.wall_value:.3g}",
            words[is_met],
        )
    console.print(table)


def _designs(rounds: Rounds) -> dict[str, list[ChainCost]]:
    named = {"two passes": rounds.two_pass, "one pass": rounds.one_pass, "MariaDB": rounds.served}
    return {name: costs for name, costs in named.items() if costs}


def _of_steps(costs: Sequence[ChainCost]) -> list[Row]:
    """Return the median cost per frame of each step, its commit beside it."""
    found: list[Row] = []
    for i, step in enumerate(costs[0].steps):
        per_frame = [1.0 / c.n_frames for c in costs]
        work = [c.steps[i].work.times(f) for c, f in zip(costs, per_frame, strict=True)]
        commit = [c.steps[i].commit.times(f) for c, f in zip(costs, per_frame, strict=True)]
        found += [(step.step, _median(work)), (f"{step.step}, commit", _median(commit))]
    return found


def _of_stages(rounds: Rounds) -> dict[str, dict[str, float]]:
    raw = _raw_bytes(rounds)
    return {
        stage: _numbers(_median([s[stage] for s in rounds.sep_stages]), raw)
        for stage in rounds.sep_stages[0]
    }


def _raw_bytes(rounds: Rounds) -> float:
    return rounds.two_pass[0].raw_bytes / rounds.two_pass[0].n_frames


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(c.wall_s for c in costs),
        statistics.median(c.cpu_s for c in costs),
        round(statistics.median(c.bytes_read for c in costs)),
        round(statistics.median(c.bytes_written for c in costs)),
        statistics.median(c.server_cpu_s for c in costs),
    )


def _numbers(cost: Cost, raw: float) -> dict[str, float]:
    return {
        "ms": 1e3 * cost.wall_s,
        "processor_ms": 1e3 * cost.cpu_s,
        "read": cost.bytes_read / raw,
        "written": cost.bytes_written / raw,
        "server_processor_ms": 1e3 * cost.server_cpu_s,
    }


def _add(table: Table, name: str, cost: Cost, raw: float, style: str = "") -> None:
    numbers = _numbers(cost, raw)
    if numbers["ms"] < 0.5 and not style:
        return
    cells = (f"{numbers['ms']:.1f}", f"{numbers['processor_ms']:.1f}")
    table.add_row(name, *cells, f"{numbers['read']:.2f}", f"{numbers['written']:.2f}", style=style)
