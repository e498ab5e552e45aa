"""The picture of a night: what was measured in its frames, against time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tianyu.cli.plots.style import ACCENT, INK, POINT, REJECTED, style
from tianyu.cli.queries.frames import FrameRecord
from tianyu.cli.words import plural
from tianyu.pipelines.science.arrays import BoolArray, FloatArray

_Value = Callable[[FrameRecord], float | None]

_PANELS: tuple[tuple[str, tuple[tuple[str, _Value], ...], frozenset[str]], ...] = (
    ("Sky (ADU)", (("", lambda f: f.sky_adu),), frozenset()),
    ("Sky rms (ADU)", (("", lambda f: f.sky_rms_adu),), frozenset({"noisy_sky"})),
    ("Stars", (("", lambda f: f.n_stars),), frozenset({"few_stars", "many_stars"})),
    ("FWHM (px)", (("", lambda f: f.fwhm_pix),), frozenset()),
    ("Elongation", (("", lambda f: f.elongation),), frozenset()),
    ("Transparency", (("", lambda f: f.transparency),), frozenset({"cloud"})),
    ("Airmass", (("", lambda f: f.airmass),), frozenset()),
    (
        "Shift (px)",
        (("x", lambda f: f.shift_x_pix), ("y", lambda f: f.shift_y_pix)),
        frozenset(),
    ),
    ("Rotation (°)", (("", lambda f: f.rotation_deg),), frozenset()),
)
"""What is drawn from top to bottom: label, curves, and the tests that look at it.

A panel without a single value is left out.
"""


@dataclass(frozen=True)
class _Verdicts:
    """Verdicts of the frames that are drawn, each of shape ``(n_frame,)``."""

    rejected: BoolArray
    by_hand: BoolArray


def draw_frames(frames: Sequence[FrameRecord], title: str) -> Figure:
    """Draw what was measured in the frames of a night.

    Rejected frames are grey crosses on a grey line, red in the panel of the test they failed;
    the line is red and dashed where a person has spoken. Frames without a time are left out.
    """
    dated = [frame for frame in frames if frame.utc_mid is not None]
    at = np.array([frame.utc_mid for frame in dated], dtype="datetime64[us]")
    verdicts = _Verdicts(
        rejected=np.array([frame.is_good is False for frame in dated], dtype=np.bool_),
        by_hand=np.array([frame.is_by_hand for frame in dated], dtype=np.bool_),
    )
    panels = [
        (label, [(name, _values(dated, value)) for name, value in curves], _failed(dated, tests))
        for label, curves, tests in _PANELS
    ]
    panels = [p for p in panels if any(np.isfinite(values).any() for _, values in p[1])]
    with style():
        figure = Figure(
            figsize=(8.0, 1.4 + 1.05 * max(len(panels), 1)),
            layout=ConstrainedLayoutEngine(h_pad=0.01, hspace=0.0),
        )
        grid = figure.subplots(max(len(panels), 1), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (label, curves, failed) in zip(grid, panels, strict=False):
            _draw_panel(axes, label, at, curves, verdicts, failed)
        grid[-1].set_xlabel("Mid-exposure (UTC)")
        if len(at):
            clock = DateFormatter("%H:%M")  # type: ignore[no-untyped-call]  # of matplotlib
            grid[-1].xaxis.set_major_formatter(clock)
        figure.align_ylabels(list(grid))
        figure.suptitle(title, x=0.02, ha="left", fontsize=11, fontweight="bold", color=INK)
        grid[0].set_title(_summary(frames), loc="left", fontsize=8.5, color=INK)
    return figure


def _failed(frames: Sequence[FrameRecord], tests: frozenset[str]) -> BoolArray:
    return np.array([bool(tests & set(frame.failed_tests)) for frame in frames], dtype=np.bool_)


def _values(frames: Sequence[FrameRecord], value: _Value) -> FloatArray:
    # None becomes NaN.
    return np.array([value(frame) for frame in frames], dtype=np.float64)


def _draw_panel(
    axes: Axes,
    label: str,
    at: NDArray[np.datetime64],
    curves: Sequence[tuple[str, FloatArray]],
    verdicts: _Verdicts,
    failed: BoolArray,
) -> None:
    for time in at[verdicts.rejected & ~verdicts.by_hand]:
        axes.axvline(time, color=REJECTED, lw=0.6, alpha=0.6, zorder=0.5)
    for time in at[verdicts.by_hand]:
        axes.axvline(time, color=ACCENT, lw=0.7, ls="--", alpha=0.7, zorder=0.5)
    good, rejected = ~verdicts.rejected, verdicts.rejected & ~failed
    for (name, values), colour in zip(curves, (POINT, ACCENT), strict=False):
        axes.plot(at[good], values[good], ".", color=colour, ms=4, label=name)
        axes.plot(at[rejected], values[rejected], "x", color=REJECTED, ms=4)
        axes.plot(at[failed], values[failed], "x", color=ACCENT, ms=5, mew=1.4)
    axes.set_ylabel(label, fontsize=8)
    # Wide enough that no point lies on the frame.
    axes.margins(x=0.02, y=0.12)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, prune="both"))
    axes.grid(visible=True)
    axes.set_axisbelow(True)
    if len(curves) > 1:
        axes.legend(loc="upper left", fontsize=7, ncols=2, handletextpad=0.1)


def _summary(frames: Sequence[FrameRecord]) -> str:
    """Say how many frames there are and what the marks mean."""
    rejected = sum(frame.is_good is False for frame in frames)
    by_hand = sum(frame.is_by_hand for frame in frames)
    text = f"{plural(len(frames), 'frame')}, {rejected} rejected (crosses, red where a test failed)"
    return text + (f", {by_hand} judged by hand (dashed)" if by_hand else "")
