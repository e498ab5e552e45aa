"""Pictures of a transit: detrended curves with their models, side by side, and a corner plot."""

import warnings
from collections.abc import Sequence

import corner
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tianyu.cli.analysis.event import BIN_DAYS, EventAnalysis, FittedCurve
from tianyu.cli.curves.binning import bin_points
from tianyu.cli.plots.style import ACCENT, INK, POINT, REJECTED, style
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.quartic import QuarticTransit, magnitudes
from tianyu.pipelines.science.sampling import Posterior

HOURS_PER_DAY = 24.0
GRID = 600
N_DRAWN = 40
"""Models from the posterior that are drawn faintly behind the best one."""

LABELS = {
    "radius_ratio": "$R_p/R_*$",
    "impact": "$b$",
    "duration": "$T_{14}$ (h)",
    "mid_time": "$t_0$ (min)",
    "q1": "$q_1$",
    "q2": "$q_2$",
    "A2": "$A_2$ (mmag)",
    "A4": "$A_4$ (mmag)",
    "c0": "$c_0$ (mmag)",
    "c1": "$c_1$ (mmag)",
    "c2": "$c_2$ (mmag)",
    "ln_sigma": "$\\ln\\sigma$",
}
FACTORS = {"duration": 24.0, "mid_time": 1440.0} | dict.fromkeys(
    ("A2", "A4", "c0", "c1", "c2"), 1000.0
)


def draw_transits(fitted: Sequence[FittedCurve], time_name: str) -> Figure:
    """Draw detrended curves with the limb-darkened model and residuals, side by side."""
    with style():
        figure = Figure(figsize=(1.5 + 5.2 * len(fitted), 5.6), layout="constrained")
        axes = figure.subplots(
            2, len(fitted), squeeze=False, sharex="col", sharey="row",
            gridspec_kw={"height_ratios": [2.6, 1.0]},
        )  # fmt: skip
        for i, of in enumerate(fitted):
            _draw_transit(axes[0][i], axes[1][i], of)
            axes[1][i].set_xlabel(f"hours from {time_name} {of.fit.mid_time.value:.5f}")
        axes[0][0].set_ylabel("flux / trend")
        axes[1][0].set_ylabel("residual, %")
        axes[0][0].legend(loc="lower left", fontsize=8)
    return figure


def _draw_transit(upper: Axes, lower: Axes, of: FittedCurve) -> None:
    fit = of.fit
    # About the mid-time itself.
    centre = fit.mid_time.value - fit.reference_time
    t = fit.folded_time - centre
    flat, error = of.flux / fit.trend, of.error / fit.trend
    rest = 100.0 * (flat / fit.flux(fit.folded_time) - 1.0)
    used = fit.used
    grid = np.linspace(t.min(), t.max(), GRID)
    upper.plot(HOURS_PER_DAY * t[used], flat[used], ".", color=POINT, ms=5, alpha=0.6,
               label="measured")  # fmt: skip
    upper.plot(HOURS_PER_DAY * t[~used], flat[~used], "x", color=REJECTED, ms=5)
    bins = bin_points(t[used], flat[used], error[used], BIN_DAYS)
    upper.errorbar(HOURS_PER_DAY * bins.time, bins.value, bins.error, fmt="o", ms=4.5, color=INK,
                   label="10 min means")  # fmt: skip
    upper.plot(HOURS_PER_DAY * grid, fit.flux(grid + centre), color=ACCENT, lw=1.8,
               label="limb-darkened disc")  # fmt: skip
    low = min(float(np.min(flat[used])), 1.0 - 1.2 * fit.depth.value)
    upper.set_ylim(low - 0.002, float(np.max(flat[used])) + 0.004)
    lower.axhline(0.0, color=ACCENT, lw=1.2)
    lower.plot(HOURS_PER_DAY * t[used], rest[used], ".", color=POINT, ms=4, alpha=0.6)
    bins = bin_points(t[used], rest[used], 100.0 * error[used], BIN_DAYS)
    lower.errorbar(HOURS_PER_DAY * bins.time, bins.value, bins.error, fmt="o", ms=4, color=INK)
    for axes in (upper, lower):
        axes.grid(visible=True)
    upper.set_title(
        f"{of.name}: residual scatter {100 * fit.residual_scatter:.2f} %, "
        f"$(R_p/R_*)^2$ {100 * fit.area_ratio.value:.2f} ± {100 * fit.area_ratio.error:.2f} %",
        loc="left",
        fontsize=9,
    )


def draw_quartic(analysis: EventAnalysis, quartic: QuarticTransit, time_name: str) -> Figure:
    """Draw the curve in magnitudes without its trend, binned, with draws of the posterior."""
    curve = analysis.fitted[0]
    magnitude, error = magnitudes(curve.flux, curve.error)
    flat = magnitude - quartic.trend(curve.time)
    used = quartic.used
    since = HOURS_PER_DAY * (curve.time - quartic.mid_time.value)
    with style():
        figure = Figure(figsize=(8.0, 4.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(since[used], 1000 * flat[used], ".", color=POINT, ms=5, alpha=0.6,
                  label="measured, trend removed")  # fmt: skip
        axes.plot(since[~used], 1000 * flat[~used], "x", color=REJECTED, ms=5, label="not used")
        grid = np.linspace(curve.time[0], curve.time[-1], GRID)
        hours = HOURS_PER_DAY * (grid - quartic.mid_time.value)
        draws = quartic.posterior.draws
        for p in draws[:: max(1, len(draws) // N_DRAWN)]:
            axes.plot(hours, 1000 * _event(p, grid - quartic.reference_time), color=ACCENT,
                      lw=0.5, alpha=0.15)  # fmt: skip
        axes.plot(hours, 1000 * (quartic.model(grid) - quartic.trend(grid)), color=ACCENT, lw=1.8,
                  label="most probable model")  # fmt: skip
        bins = bin_points(curve.time[used], flat[used], error[used], BIN_DAYS)
        axes.errorbar(
            HOURS_PER_DAY * (bins.time - quartic.mid_time.value), 1000 * bins.value,
            1000 * bins.error, fmt="o", ms=4.5, color=INK, label="10 min means", zorder=5,
        )  # fmt: skip
        axes.invert_yaxis()
        axes.grid(visible=True)
        axes.set_xlabel(f"hours from {time_name} {quartic.mid_time.value:.5f}")
        axes.set_ylabel("magnitude − trend, mmag")
        axes.set_title(
            f"{analysis.curve.how}: quartic transit, ln BF {quartic.log_bayes_factor:.1f} "
            f"(posterior-averaged), ΔBIC {quartic.delta_bic:.1f}",
            loc="left",
            fontsize=9,
        )
        axes.legend(loc="best", fontsize=8)
    return figure


def _event(p: FloatArray, t: FloatArray) -> FloatArray:
    """Magnitude of one draw relative to out of transit; columns as in ``quartic``."""
    x2 = np.minimum((2.0 * (t - p[6]) / p[7]) ** 2, 1.0)
    return np.asarray(x2 * (p[0] + x2 * p[1]) - (p[0] + p[1]))


def draw_corner(posterior: Posterior, title: str) -> Figure:
    """Draw the marginal distributions of a posterior and those of all pairs.

    Mid-times are in minutes from the median, magnitudes in thousandths, durations in hours.
    """
    columns = []
    for name in posterior.names:
        values = posterior.of(name)
        offset = float(np.median(values)) if name == "mid_time" else 0.0
        columns.append(FACTORS.get(name, 1.0) * (values - offset))
    n = len(columns)
    with style(), warnings.catch_warnings():
        # corner's advice on sparse contours is not for the person at the terminal.
        warnings.simplefilter("ignore")
        figure = Figure(figsize=(1.55 * n, 1.55 * n))
        corner.corner(
            np.stack(columns, axis=1),
            labels=[LABELS[name] for name in posterior.names],
            quantiles=[0.16, 0.5, 0.84],
            show_titles=True,
            title_kwargs={"fontsize": 7.5},
            label_kwargs={"fontsize": 8},
            title_fmt=".3g",
            color=INK,
            fig=figure,
        )
        for axes in figure.axes:
            axes.tick_params(labelsize=6)
        figure.suptitle(title, x=0.98, ha="right", fontsize=10)
    return figure
