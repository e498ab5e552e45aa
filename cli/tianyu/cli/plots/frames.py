"""The picture of a night: what was measured in its frames, against time."""

from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from tianyu.cli.plots.style import ACCENT, INK, POINT, REJECTED, style
from tianyu.cli.queries.frames import FrameRecord
from tianyu.pipelines.science.arrays import BoolArray, FloatArray

_Value = Callable[[FrameRecord], float | None]

_PANELS: tuple[tuple[str, tuple[tuple[str, _Value], ...]], ...] = (
    ("Sky (ADU)", (("", lambda f: f.sky_adu),)),
    ("Sky rms (ADU)", (("", lambda f: f.sky_rms_adu),)),
    ("Stars", (("", lambda f: f.n_stars),)),
    ("FWHM (px)", (("", lambda f: f.fwhm_pix),)),
    ("Elongation", (("", lambda f: f.elongation),)),
    ("Transparency", (("", lambda f: f.transparency),)),
    ("Airmass", (("", lambda f: f.airmass),)),
    ("Shift (px)", (("x", lambda f: f.shift_x_pix), ("y", lambda f: f.shift_y_pix))),
    ("Rotation (°)", (("", lambda f: f.rotation_deg),)),
)
"""What is drawn, from top to bottom; a panel without a single value is left out."""


def draw_frames(frames: Sequence[FrameRecord], title: str) -> Figure:
    """Draw what was measured in the frames of a night; rejected frames are grey crosses.

    Frames without a time are left out.
    """
    dated = [frame for frame in frames if frame.utc_mid is not None]
    time = [frame.utc_mid for frame in dated if frame.utc_mid is not None]
    rejected = np.array([frame.is_good is False for frame in dated], dtype=np.bool_)
    panels = [
        (label, [(name, _values(dated, value)) for name, value in curves])
        for label, curves in _PANELS
    ]
    panels = [p for p in panels if any(np.isfinite(values).any() for _, values in p[1])]
    with style():
        figure = Figure(
            figsize=(8.0, 1.2 + 1.05 * max(len(panels), 1)),
            layout=ConstrainedLayoutEngine(h_pad=0.01, hspace=0.0),
        )
        grid = figure.subplots(max(len(panels), 1), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (label, curves) in zip(grid, panels, strict=False):
            _draw_panel(axes, label, time, curves, rejected)
        grid[-1].set_xlabel("Mid-exposure (UTC)")
        if time:
            clock = DateFormatter("%H:%M")  # type: ignore[no-untyped-call]  # of matplotlib
            grid[-1].xaxis.set_major_formatter(clock)
        figure.align_ylabels(list(grid))
        _title(grid[0], title, len(frames), int(rejected.sum()))
    return figure


def _values(frames: Sequence[FrameRecord], value: _Value) -> FloatArray:
    # None becomes NaN.
    return np.array([value(frame) for frame in frames], dtype=np.float64)


def _draw_panel(
    axes: Axes,
    label: str,
    time: Sequence[datetime],
    curves: Sequence[tuple[str, FloatArray]],
    rejected: BoolArray,
) -> None:
    at = np.array(time, dtype="datetime64[us]")
    for (name, values), colour in zip(curves, (POINT, ACCENT), strict=False):
        axes.plot(at[~rejected], values[~rejected], ".", color=colour, ms=4, label=name)
        axes.plot(at[rejected], values[rejected], "x", color=REJECTED, ms=4)
    axes.set_ylabel(label, fontsize=8)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, prune="both"))
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    if len(curves) > 1:
        axes.legend(loc="upper left", fontsize=7, ncols=2, handletextpad=0.1)


def _title(axes: Axes, title: str, n_frames: int, n_rejected: int) -> None:
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK)
    axes.set_title(
        f"{n_frames} frames, {n_rejected} rejected (grey)", loc="right", fontsize=8.5, color=INK
    )
