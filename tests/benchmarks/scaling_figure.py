"""The figure and the table of the scaling study."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from tests.benchmarks.scaling import (
    CONSUMERS,
    RAW_MB,
    STORAGES,
    Load,
    Storage,
    saturation,
    throughput,
    whole,
)

from tianyu.cli.plots.style import ACCENT, INK, POINT, REJECTED, save, style

TELESCOPE_MB_PER_S = 500.0
PUBLISHED_AT = 5
PUBLISHED_GAIN = {"calibration": 1.41, "alignment": 3.57, "flux extraction": 2.07}
"""Median throughput with five consumers over that with one (arXiv 2505.09107, abstract)."""
_LINES = ((ACCENT, "-"), (ACCENT, ":"), (POINT, "-"), (INK, "-"))
_SHOWN = (1, 2, 5, 16, 64)
_MARKS = (1, 2, 5, 10, 20, 50, 100, 200, 500)

Rates = dict[tuple[str, str], list[float]]
"""Frames per second for each number of consumers, by load and storage."""


def simulate(loads: list[Load]) -> Rates:
    """Simulate every load on every storage."""
    return {
        (load.name, storage.name): [throughput(load, n, storage) for n in CONSUMERS]
        for load in loads
        for storage in STORAGES
    }


def draw(designs: dict[str, list[Load]], path: Path) -> None:
    """Draw frames per second of whole designs, and gains of single steps beside the published."""
    with style():
        figure = Figure(figsize=(9.0, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_rates(left, designs)
        _draw_gains(right, designs)
        save(figure, path)


def _draw_rates(axes: Axes, designs: dict[str, list[Load]]) -> None:
    name = "two passes"
    rates = simulate([whole(designs[name], name)])
    for storage, (colour, line) in zip(STORAGES, _LINES, strict=True):
        axes.plot(CONSUMERS, rates[name, storage.name], line, color=colour, label=storage.name)
    if "one pass" in designs:
        load = whole(designs["one pass"], "one pass")
        one = [throughput(load, n, STORAGES[-1]) for n in CONSUMERS]
        axes.plot(CONSUMERS, one, "--", color=INK, label=f"one pass, {STORAGES[-1].name}")
    axes.axhline(TELESCOPE_MB_PER_S / RAW_MB, color=REJECTED, linewidth=0.8)
    axes.text(1.1, 1.05 * TELESCOPE_MB_PER_S / RAW_MB, "telescope, 500 MB/s", color=REJECTED)
    axes.set(xscale="log", yscale="log", xlabel="consumers, one core each",
             ylabel="frames per second", title="Chain, simulated from measured costs")  # fmt: skip
    axes.set_ylim(top=2.0 * max(TELESCOPE_MB_PER_S / RAW_MB, *map(max, rates.values())))
    _ticks(axes)
    axes.legend(fontsize=7)


def _draw_gains(axes: Axes, designs: dict[str, list[Load]]) -> None:
    own, files = designs["two passes"], designs["every product through files"]
    storage = STORAGES[2]
    for load, line in zip(own, ("-", "--"), strict=True):
        rates = [throughput(load, n, storage) for n in CONSUMERS]
        axes.plot(CONSUMERS, [r / rates[0] for r in rates], line, color=INK, label=load.name)
    for load, line in zip(files, ("-", "--", ":"), strict=True):
        rates = [throughput(load, n, storage) for n in CONSUMERS]
        label = f"through files: {load.name}"
        axes.plot(CONSUMERS, [r / rates[0] for r in rates], line, color=POINT, label=label)
    for (name, gain), marker in zip(PUBLISHED_GAIN.items(), "o^s", strict=True):
        axes.plot(PUBLISHED_AT, gain, marker, color=ACCENT, label=f"published: {name}")
    axes.plot(CONSUMERS, CONSUMERS, color=REJECTED, linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="consumers, one core each",
             ylabel="gain over one consumer", title=f"Steps, {storage.name}")  # fmt: skip
    _ticks(axes)
    axes.legend(fontsize=7)


def _ticks(axes: Axes) -> None:
    axes.set_xticks(_SHOWN, [str(n) for n in _SHOWN])
    axes.minorticks_off()
    low, high = axes.get_ylim()
    axes.set_yticks([n for n in _MARKS if low <= n <= high])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(visible=True)


def table(designs: dict[str, list[Load]]) -> list[str]:
    """Return the lines of the table of gains and saturation, in Markdown."""
    shown = " | ".join(f"{n}" for n in _SHOWN)
    lines = [
        f"| step | storage | {shown} | gain at 5 | saturates at | by |",
        "|---|---|" + "--:|" * (len(_SHOWN) + 2) + "---|",
    ]
    loads = [*designs["two passes"], *designs.get("one pass", [])]
    for load in loads:
        lines += [_row(load, storage) for storage in STORAGES]
    return lines


def _row(load: Load, storage: Storage) -> str:
    rates = dict(zip(CONSUMERS, [throughput(load, n, storage) for n in CONSUMERS], strict=True))
    cells = " | ".join(f"{rates[n]:.3g}" for n in _SHOWN)
    gain = rates[PUBLISHED_AT] / rates[1] - 1.0
    at = saturation(list(rates.values()))
    where = f"{at} | {load.busiest(storage)}" if at < CONSUMERS[-1] else "beyond 64 | cores"
    return f"| {load.name} | {storage.name} | {cells} | {gain:+.0%} | {where} |"
