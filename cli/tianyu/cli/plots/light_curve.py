"""The picture of a light curve: relative flux against time, and the conditions below it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator

from tianyu.cli.curves.binning import bin_points, nights
from tianyu.cli.curves.light_curve import LightCurve
from tianyu.cli.curves.summary import RadiusSummary, summarise
from tianyu.cli.plots.style import INK, POINT, REJECTED, style
from tianyu.cli.queries.conditions import Conditions
from tianyu.cli.words import percent
from tianyu.pipelines.science.arrays import BoolArray, FloatArray

MINUTES_PER_DAY = 1440.0
BIN_WIDTHS_MIN = (5.0, 10.0, 15.0, 20.0, 30.0, 60.0)
"""Round widths; the smallest one that gathers :data:`POINTS_PER_BIN` points is taken."""
POINTS_PER_BIN = 5
FEWEST_TO_BIN = 20
MAX_NIGHT_PANELS = 6
"""More nights than this are drawn on one axis, gaps and all."""
PLOT_SIGMA = 5.0
"""Good points this far out set the scale; farther ones are drawn at the rim, with an arrow."""
MEASURED, NOT_USED = "measured", "not used"
_PANEL_INCH = 0.85
_MAIN_INCH = 3.6


@dataclass(frozen=True)
class _Panel:
    """One condition below the light curve."""

    label: str
    values: FloatArray
    is_downward: bool = False


def draw_light_curve(curve: LightCurve, conditions: Conditions) -> Figure:
    """Draw a light curve.

    Good points are coloured with error bars, binned points dark; points of rejected frames or
    with a bad flag are grey crosses. Below stand airmass, width of the stars and transparency,
    as far as they are known. Several nights stand side by side.

    Parameters
    ----------
    curve : LightCurve
        Of more than one radius only the chosen one is drawn.
    conditions : Conditions
        One value per point of ``curve``.
    """
    chosen = _one_radius(curve)
    curve, conditions = curve.only(chosen), _only(conditions, chosen)
    spans = nights(curve.time)
    if not 1 <= len(spans) <= MAX_NIGHT_PANELS:
        spans = [(float(np.nanmin(curve.time)), float(np.nanmax(curve.time)))]
    panels = _panels(conditions)
    with style():
        figure, axes = _layout(spans, len(panels))
        low, high = _limits(curve)
        bin_min = _bin_width_min(curve)
        for column, span in enumerate(spans):
            _draw_points(axes[0][column], curve, span, (low, high), bin_min)
            for row, panel in enumerate(panels, start=1):
                _draw_condition(axes[row][column], curve, panel, span)
            _finish_night(axes, column, curve, span)
        axes[0][0].set_ylim(low, high)
        _label(figure, axes, curve, panels)
    return figure


def _one_radius(curve: LightCurve) -> BoolArray:
    default = np.asarray(curve["is_default_radius"] == 1, dtype=np.bool_)
    if default.any():
        return default
    # Nobody chose a radius: the one whose light curve is quietest.
    best = min(summarise(curve), key=lambda s: (math.isnan(s.scatter), s.scatter))
    return np.asarray(np.isclose(curve["radius_pix"], best.radius_pix), dtype=np.bool_)


def _only(conditions: Conditions, chosen: BoolArray) -> Conditions:
    return Conditions(
        conditions.airmass[chosen], conditions.fwhm_pix[chosen], conditions.transparency[chosen]
    )


def _panels(conditions: Conditions) -> list[_Panel]:
    panels = [
        _Panel("Airmass", conditions.airmass, is_downward=True),
        _Panel("FWHM (px)", conditions.fwhm_pix),
        _Panel("Transparency", conditions.transparency),
    ]
    return [panel for panel in panels if np.isfinite(panel.values).any()]


def _layout(spans: Sequence[tuple[float, float]], n_panels: int) -> tuple[Figure, list[list[Axes]]]:
    """Make the grid of axes: a row per quantity, a column per night as wide as it is long."""
    longest = max(end - start for start, end in spans) or 1.0
    widths = [max((end - start) / longest, 0.35) for start, end in spans]
    height = _MAIN_INCH + _PANEL_INCH * n_panels + 1.1
    figure = Figure(
        figsize=(min(8.0 + 2.0 * (len(spans) - 1), 14.0), height),
        layout=ConstrainedLayoutEngine(h_pad=0.03, hspace=0.0, w_pad=0.05, wspace=0.0),
    )
    grid = figure.subplots(
        1 + n_panels,
        len(spans),
        sharex="col",
        sharey="row",
        squeeze=False,
        gridspec_kw={
            "width_ratios": widths,
            "height_ratios": [_MAIN_INCH, *[_PANEL_INCH] * n_panels],
        },
    )
    return figure, [list(row) for row in grid]


def _limits(curve: LightCurve) -> tuple[float, float]:
    """Return the range of the main panel: every good point that is no wild outlier."""
    value = curve.value[curve.is_good]
    value = value if value.size else curve.value[np.isfinite(curve.value)]
    if not value.size:
        return 0.0, 1.0
    middle = float(np.median(value))
    sigma = 1.4826 * float(np.median(np.abs(value - middle)))
    # An eclipse is no outlier: what more than a hundredth of the points do is shown.
    low, high = np.percentile(value, [1.0, 99.0])
    low, high = min(low, middle - PLOT_SIGMA * sigma), max(high, middle + PLOT_SIGMA * sigma)
    inside = value[(value >= low - 2 * sigma) & (value <= high + 2 * sigma)]
    low, high = float(inside.min()), float(inside.max())
    margin = 0.08 * (high - low) or 0.05 * abs(middle) or 0.1
    return low - margin, high + margin


def _draw_points(
    axes: Axes,
    curve: LightCurve,
    span: tuple[float, float],
    limits: tuple[float, float],
    bin_min: float,
) -> None:
    offset = math.floor(span[0])
    time, value, error, good = curve.time, curve.value, curve.error, curve.is_good
    here = (time >= span[0]) & (time <= span[1])
    bad = here & ~good & np.isfinite(value)
    shown, used = _within(value, limits), here & good
    axes.errorbar(
        time[used] - offset, value[used], error[used], fmt="o", ms=3.2, color=POINT, alpha=0.75,
        mec="white", mew=0.3, ecolor=POINT, elinewidth=0.6, zorder=2, label=MEASURED,
    )  # fmt: skip
    if bad.any():
        axes.plot(
            time[bad & shown] - offset, value[bad & shown], "x", color=REJECTED, ms=4, zorder=1,
            label=NOT_USED,
        )  # fmt: skip
    _draw_rim(axes, time - offset, value, here & ~shown & np.isfinite(value), good, limits)
    if used.sum() >= FEWEST_TO_BIN:
        bins = bin_points(time[used], value[used], error[used], bin_min / MINUTES_PER_DAY)
        axes.errorbar(
            bins.time - offset, bins.value, bins.error, fmt="o", ms=5.5, color=INK, mec="white",
            mew=0.8, ecolor=INK, elinewidth=1.1, zorder=3, label=f"{bin_min:g} min means",
        )  # fmt: skip


def _draw_rim(
    axes: Axes,
    time: FloatArray,
    value: FloatArray,
    outside: BoolArray,
    good: BoolArray,
    limits: tuple[float, float],
) -> None:
    """Mark what lies beyond the range at the rim, pointing to where it is."""
    inset = 0.025 * (limits[1] - limits[0])
    for marker, rim, beyond in (
        ("^", limits[1] - inset, value > limits[1]),
        ("v", limits[0] + inset, value < limits[0]),
    ):
        for chosen, colour in (
            (outside & beyond & good, POINT),
            (outside & beyond & ~good, REJECTED),
        ):
            if chosen.any():
                at = np.full(int(chosen.sum()), rim)
                axes.plot(time[chosen], at, marker, color=colour, ms=4, zorder=2)


def _within(value: FloatArray, limits: tuple[float, float]) -> BoolArray:
    return np.asarray((value >= limits[0]) & (value <= limits[1]), dtype=np.bool_)


def _bin_width_min(curve: LightCurve) -> float:
    time = np.sort(curve.time[curve.is_good])
    cadence_day = float(np.median(np.diff(time))) if time.size > 1 else 0.0
    wanted = POINTS_PER_BIN * cadence_day * MINUTES_PER_DAY
    return next((width for width in BIN_WIDTHS_MIN if width >= wanted), BIN_WIDTHS_MIN[-1])


def _draw_condition(
    axes: Axes, curve: LightCurve, panel: _Panel, span: tuple[float, float]
) -> None:
    offset = math.floor(span[0])
    here = (curve.time >= span[0]) & (curve.time <= span[1])
    for chosen, colour in ((curve.is_good, POINT), (~curve.is_good, REJECTED)):
        mask = here & chosen
        axes.plot(curve.time[mask] - offset, panel.values[mask], ".", color=colour, ms=3.5)


def _finish_night(
    axes: list[list[Axes]], column: int, curve: LightCurve, span: tuple[float, float]
) -> None:
    offset = math.floor(span[0])
    scale = "BJD$_{\\mathrm{TDB}}$" if curve.has_bjd else "JD$_{\\mathrm{UTC}}$"
    margin = 0.02 * (span[1] - span[0]) or 0.01
    for row in axes:
        row[column].set_xlim(span[0] - offset - margin, span[1] - offset + margin)
        row[column].grid(visible=True)
        row[column].set_axisbelow(True)
    bottom = axes[-1][column]
    bottom.set_xlabel(f"{scale} − {offset}")
    bottom.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]))


def _label(
    figure: Figure, axes: list[list[Axes]], curve: LightCurve, panels: Sequence[_Panel]
) -> None:
    unit = curve.flux_unit or "mixed units"
    relative = "Relative flux, detrended" if curve.detrending else "Relative flux"
    axes[0][0].set_ylabel(relative if curve.has_relative_flux else f"Flux ({unit})")
    for row, panel in zip(axes[1:], panels, strict=True):
        row[0].set_ylabel(panel.label, fontsize=8)
        row[0].yaxis.set_major_locator(MaxNLocator(nbins=3, prune="both"))
        if panel.is_downward:
            row[0].invert_yaxis()
    figure.align_ylabels([row[0] for row in axes])
    _legend(axes[0])
    summaries = summarise(curve)
    name = summaries[0].source_name or f"Source {summaries[0].source_id}"
    axes[0][0].set_title(name, loc="left", fontsize=13, fontweight="bold", pad=22)
    words = axes[0][0].text(
        0.0, 1.025, _subtitle(summaries), transform=axes[0][0].transAxes, fontsize=8.5, va="bottom"
    )
    # A long line of words must not squeeze the axes.
    words.set_in_layout(False)


def _legend(axes: Sequence[Axes]) -> None:
    """Explain the marks above the axes, where no point can lie under the words."""
    marks: dict[str, Any] = {}
    for night in axes:
        handles, labels = night.get_legend_handles_labels()
        marks.update(zip(labels, handles, strict=True))
    labels = sorted(marks, key=lambda label: (label == NOT_USED, label != MEASURED))
    if labels:
        legend = axes[-1].legend(
            handles=[marks[label] for label in labels], labels=labels, loc="lower right", ncols=3,
            bbox_to_anchor=(1.0, 1.065), fontsize=8, handletextpad=0.1, columnspacing=1.0,
            borderaxespad=0.0, borderpad=0.0,
        )  # fmt: skip
        legend.set_in_layout(False)


def _subtitle(summaries: Sequence[RadiusSummary]) -> str:
    filters = ", ".join(dict.fromkeys(s.filter or "no filter" for s in summaries))
    radii = sorted({f"{s.radius_pix:.1f}" for s in summaries}, key=float)
    used = sum(s.n_good for s in summaries)
    points = sum(s.n_points for s in summaries)
    best = max(summaries, key=lambda s: s.n_good)
    nightly = f", {best.n_nights} nights" if best.n_nights > 1 else ""
    dates = dict.fromkeys(utc[:10] for utc in (best.first_utc, best.last_utc) if utc)
    date = f"{' … '.join(dates)} · " if dates else ""
    return (
        f"{date}{filters} · radius {', '.join(radii)} px · {used} of {points} points used{nightly}"
        f" · scatter {percent(best.scatter)} ({percent(best.point_to_point)} point to point, "
        f"median error {percent(best.median_error)})"
    )
