"""The picture of an injection and recovery: completeness, bias of the size, error of the time."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tianyu.cli.analysis.recovering import InjectedEvent, RecoveryBin
from tianyu.cli.plots.style import ACCENT, INK, POINT, REJECTED, style

COLOURS = {"bright": ACCENT, "middle": POINT, "faint": "#8a6fae", "all": INK}


def draw_recovery(events: Sequence[InjectedEvent], bins: Sequence[RecoveryBin]) -> Figure:
    """Draw a row for every kind of signal."""
    kinds = list(dict.fromkeys(e.kind for e in events))
    with style():
        figure = Figure(figsize=(11.5, 3.3 * len(kinds)), layout="constrained")
        grid = figure.subplots(len(kinds), 3, squeeze=False)
        for axes, kind in zip(grid, kinds, strict=True):
            of = [b for b in bins if b.kind == kind and b.length_h is None and np.isfinite(b.size)]
            _completeness(axes[0], kind, of)
            _sizes(axes[1], kind, [e for e in events if e.kind == kind])
            _times(axes[2], [e for e in events if e.kind == kind])
    return figure


def _unit(kind: str) -> tuple[float, str]:
    return (1000.0, "amplitude, mmag") if kind == "pulsation" else (100.0, "depth, %")


def _completeness(axes: Axes, kind: str, bins: Sequence[RecoveryBin]) -> None:
    factor, label = _unit(kind)
    names = list(dict.fromkeys(b.brightness for b in bins))
    for j, name in enumerate(names):
        of = [b for b in bins if b.brightness == name]
        x = np.array([factor * b.size for b in of]) * (1.0 + 0.02 * (j - 0.5 * len(names)))
        y = np.array([b.result.fraction for b in of])
        low = y - np.array([b.result.low for b in of])
        high = np.array([b.result.high for b in of]) - y
        axes.errorbar(x, y, [np.maximum(low, 0), np.maximum(high, 0)], fmt="o-", ms=4,
                      color=COLOURS[name], lw=1.1, label=name)  # fmt: skip
    axes.set(xscale="log", ylim=(-0.03, 1.05), xlabel=f"injected {label}",
             ylabel="recovered fraction", title=kind)  # fmt: skip
    _ticks(axes, sorted({factor * b.size for b in bins}))
    axes.legend(fontsize=7.5, loc="best")
    axes.grid(visible=True)


def _sizes(axes: Axes, kind: str, events: Sequence[InjectedEvent]) -> None:
    factor, label = _unit(kind)
    for is_recovered, colour in ((False, REJECTED), (True, POINT)):
        of = [e for e in events if e.is_recovered == is_recovered and np.isfinite(e.measured_size)]
        if of:
            x = factor * np.array([e.size for e in of])
            jitter = 1.0 + 0.03 * (np.arange(len(of)) % 7 - 3) / 3.0
            axes.errorbar(
                x * jitter, factor * np.array([e.measured_size for e in of]),
                factor * np.array([min(e.size_error, e.size) for e in of]), fmt=".", ms=5,
                lw=0.6, color=colour, label="recovered" if is_recovered else "below the threshold",
            )  # fmt: skip
    sizes = sorted({factor * e.size for e in events})
    line = np.array([0.7 * sizes[0], 1.4 * sizes[-1]])
    axes.plot(line, line, color=ACCENT, lw=1.0)
    axes.set(xscale="log", yscale="log", xlabel=f"injected {label}", ylabel=f"measured {label}",
             xlim=line, ylim=(0.4 * sizes[0], 2.5 * sizes[-1]))  # fmt: skip
    _ticks(axes, sizes)
    _plain_logarithms(axes.yaxis)
    axes.legend(fontsize=7.5, loc="upper left")
    axes.grid(visible=True)


def _times(axes: Axes, events: Sequence[InjectedEvent]) -> None:
    of = [e for e in events if e.is_recovered and np.isfinite(e.fisher_days + e.time_error_days)]
    if not of:
        axes.set_axis_off()
        return
    x = 1440.0 * np.array([e.fisher_days for e in of])
    y = 1440.0 * np.abs([e.time_error_days for e in of])
    axes.plot(x, np.maximum(y, 1e-3), "o", ms=3.5, color=POINT, alpha=0.7)
    line = np.array([0.7 * x.min(), 1.4 * x.max()])
    axes.plot(line, line, color=ACCENT, lw=1.2, label="Fisher limit (1σ)")
    axes.plot(line, 2.0 * line, color=ACCENT, lw=0.8, ls="--", label="2σ")
    axes.set(xscale="log", yscale="log", xlabel="Fisher limit of the mid-time, min",
             ylabel="|mid-time error|, min", xlim=line)  # fmt: skip
    axes.set_ylim(0.03 * float(np.median(x)), 10.0 * float(x.max()))
    _plain_logarithms(axes.xaxis)
    _plain_logarithms(axes.yaxis)
    axes.legend(fontsize=7.5, loc="upper left")
    axes.grid(visible=True)


def _ticks(axes: Axes, sizes: Sequence[float]) -> None:
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()


def _plain_logarithms(axis: Axis) -> None:
    """Write 0.5, 1, 2 rather than powers of ten on a short logarithmic axis."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
