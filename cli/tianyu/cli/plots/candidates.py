"""Pages of pictures of candidate variables: where, the night, folded, the periodogram."""

from textwrap import shorten

import numpy as np
from astropy.timeseries import LombScargle
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from tianyu.cli.analysis.candidates import Candidate, CandidateList
from tianyu.cli.plots.style import ACCENT, INK, POINT, REJECTED, style
from tianyu.cli.queries.run_curves import RunCurves
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.periods import period_grid
from tianyu.pipelines.science.variables import without_nightly_lines

PER_PAGE = 6
STAMP_HALF_PIX = 20
ROW_INCHES = 1.75
MAX_TICKS = 6
TITLE_LETTERS = 92
"""What fits over the panel of the night."""


def draw_candidates(
    curves: RunCurves, found: CandidateList, template: FloatArray | None, corner: tuple[int, int]
) -> list[Figure]:
    """Draw the candidates, six to a page.

    Parameters
    ----------
    curves : RunCurves
    found : CandidateList
    template : ndarray, shape (ny, nx), or None
        None leaves the stamps empty.
    corner : (int, int)
        Reference pixel of the template's first pixel.
    """
    pages = []
    for start in range(0, len(found.candidates), PER_PAGE):
        part = list(zip(found.candidates, found.rows, strict=True))[start : start + PER_PAGE]
        with style():
            figure = Figure(figsize=(11.0, ROW_INCHES * len(part) + 0.5), layout="constrained")
            grid = figure.subplots(
                len(part), 4, squeeze=False, gridspec_kw={"width_ratios": [1.0, 3.2, 2.2, 1.7]}
            )
            for axes, (candidate, row) in zip(grid, part, strict=True):
                _stamp(axes[0], curves, int(row), template, corner)
                _night(axes[1], curves, candidate, int(row))
                _folded(axes[2], curves, candidate, int(row))
                _periodogram(axes[3], curves, candidate, int(row))
            grid[-1][1].set_xlabel(f"{'BJD_TDB' if curves.has_bjd else 'JD_UTC'} − {_day(curves)}")
            grid[-1][2].set_xlabel("phase of the sinusoid's period")
            grid[-1][3].set_xlabel("period, h")
        pages.append(figure)
    return pages


def _day(curves: RunCurves) -> int:
    return int(np.floor(curves.time[0]))


def _stamp(
    axes: Axes, curves: RunCurves, i: int, template: FloatArray | None, corner: tuple[int, int]
) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    if template is None:
        axes.text(0.5, 0.5, "no template", ha="center", va="center", fontsize=7)
        return
    x, y = curves.x[i] - corner[0], curves.y[i] - corner[1]
    column, row = round(float(x)), round(float(y))
    half = STAMP_HALF_PIX
    low_y, low_x = max(0, row - half), max(0, column - half)
    stamp = template[low_y : row + half + 1, low_x : column + half + 1]
    if stamp.size and np.isfinite(stamp).any():
        low, high = np.nanpercentile(stamp, [20.0, 99.0])
        extent = (low_x - 0.5, low_x + stamp.shape[1] - 0.5,
                  low_y - 0.5, low_y + stamp.shape[0] - 0.5)  # fmt: skip
        axes.imshow(stamp, origin="lower", cmap="Greys", vmin=low, vmax=high, extent=extent)
    circle = Circle((float(x), float(y)), float(curves.radius_pix[i]), fill=False, color=ACCENT)
    axes.add_patch(circle)


def _night(axes: Axes, curves: RunCurves, candidate: Candidate, i: int) -> None:
    t = curves.time - _day(curves)
    percent = 100.0 * (curves.flux[i] - 1.0)
    axes.plot(t, percent, ".", color=POINT, ms=3.5)
    if np.isfinite(candidate.event_mid_time):
        mid = candidate.event_mid_time - _day(curves)
        half = candidate.event_duration_h / 48.0
        axes.axvspan(mid - half, mid + half, color=ACCENT, alpha=0.12, lw=0)
    _limit(axes, percent)
    name = candidate.name or f"source {candidate.source_id}"
    words = (
        f"{candidate.rank}. {name} ({candidate.x:.0f}, {candidate.y:.0f}) score "
        f"{candidate.score:.1f}: {candidate.reasons[0] if candidate.reasons else ''}"
    )
    axes.set_title(shorten(words, TITLE_LETTERS, placeholder=" …"), fontsize=6.5, loc="left")
    axes.set_ylabel("flux − 1, %", fontsize=7)


def _folded(axes: Axes, curves: RunCurves, candidate: Candidate, i: int) -> None:
    flat = 100.0 * without_nightly_lines(curves.time, curves.flux[i : i + 1])[0]
    period = candidate.period_h / 24.0
    if np.isfinite(period):
        phase = ((curves.time - curves.time[0]) / period) % 1.0
        axes.plot(phase, flat, ".", color=POINT, ms=3)
        axes.plot(phase + 1.0, flat, ".", color=REJECTED, ms=3)
    _limit(axes, flat)
    axes.set_title(f"{candidate.period_h:.2f} h, false alarm {candidate.period_false_alarm:.3f}",
                   fontsize=6.5, loc="left")  # fmt: skip


def _periodogram(axes: Axes, curves: RunCurves, candidate: Candidate, i: int) -> None:
    grid = period_grid(curves.time)
    used = np.isfinite(curves.flux[i])
    flat = without_nightly_lines(curves.time, curves.flux[i : i + 1])[0]
    if used.sum() > 3:
        search = LombScargle(curves.time[used] - curves.time[0], flat[used], curves.error[i][used])
        axes.plot(24.0 / grid.frequency, search.power(grid.frequency), color=INK, lw=0.8)
        axes.axvline(candidate.period_h, color=ACCENT, lw=0.8, ls="--")
    axes.set(xscale="log", ylim=(0.0, 1.0))
    low, high = 24.0 / grid.frequency[-1], 24.0 / grid.frequency[0]
    ticks = [2.0**k for k in range(-4, 16) if low <= 2.0**k <= high]
    every = -(-len(ticks) // MAX_TICKS)
    axes.set_xticks(ticks[::every], [f"{tick:g}" for tick in ticks[::every]])
    axes.minorticks_off()
    axes.tick_params(labelsize=6.5)
    axes.set_title("Lomb-Scargle power", fontsize=6.5, loc="left")


def _limit(axes: Axes, values: FloatArray) -> None:
    finite = values[np.isfinite(values)]
    if finite.size:
        low, high = np.percentile(finite, [0.5, 99.5])
        margin = 0.1 * (high - low) or 1.0
        axes.set_ylim(low - margin, high + margin)
    axes.grid(visible=True)
    axes.tick_params(labelsize=6.5)
