"""The picture of a run's precision: CDPP of every source over the theoretical curve."""

import numpy as np
from matplotlib.figure import Figure

from tianyu.cli.analysis.precision import Precision
from tianyu.cli.plots.style import ACCENT, INK, POINT, style
from tianyu.pipelines.science.arrays import FloatArray

COLOURS = {
    "source": "#4f8f5b", "sky": "#8a6fae", "readout": "#b58a2d", "scintillation": "#2f8f9d",
}  # fmt: skip
N_BIN = 30


def draw_precision(found: Precision) -> Figure:
    """Draw CDPP against brightness, with the parts of theory as running medians."""
    flux = found.curves.mean_flux
    usable = (flux > 0) & np.isfinite(found.cdpp) & (found.cdpp > 0)
    magnitude = -2.5 * np.log10(np.where(flux > 0, flux, np.nan))
    with style():
        figure = Figure(figsize=(8.4, 5.6), layout="constrained")
        axes = figure.subplots()
        axes.plot(magnitude[usable], found.cdpp[usable], "o", ms=3, color=POINT, alpha=0.45,
                  mew=0, label="measured, 0.5 h after a 1 h filter")  # fmt: skip
        curves = {
            "theory": (found.theory, ACCENT, 2.2),
            "from the stored errors": (found.from_errors, INK, 1.2),
            **{name: (part, COLOURS[name], 1.2) for name, part in found.parts.items()},
        }
        for name, (values, colour, width) in curves.items():
            if np.nanmax(values, initial=0.0) > 0:
                x, y = _running(magnitude[usable], values[usable])
                axes.plot(x, y, color=colour, lw=width, label=name,
                          ls="-" if name == "theory" else "--")  # fmt: skip
        for i, name in enumerate(found.curves.name):
            if name and usable[i]:
                axes.plot(magnitude[i], found.cdpp[i], "*", ms=14, color=ACCENT, mec=INK, zorder=4)
                axes.annotate(name, (magnitude[i], found.cdpp[i]), xytext=(8, 6),
                              textcoords="offset points")  # fmt: skip
        axes.set(
            yscale="log",
            xlabel=f"instrumental magnitude, −2.5 log₁₀(mean flux / {found.curves.flux_unit})",
            ylabel="CDPP, parts per million",
        )
        limits = found.cdpp[usable]
        if limits.size:
            axes.set_ylim(0.3 * float(limits.min()), 2.0 * float(np.percentile(limits, 99.5)))
        ratios = ", ".join(f"{c.name} {c.ratio:.2f}" for c in found.classes)
        axes.set_title(f"run {found.curves.run}: measured over theory {ratios}", loc="left")
        axes.grid(visible=True, which="both")
        axes.legend(loc="upper left", fontsize=8)
    return figure


def _running(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    order = np.argsort(x)
    parts = [part for part in np.array_split(order, min(N_BIN, len(order))) if part.size]
    return (
        np.array([np.median(x[part]) for part in parts]),
        np.array([np.nanmedian(y[part]) for part in parts]),
    )
