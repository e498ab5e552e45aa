"""How well a run was measured: scatter of every light curve, and the night's curve of growth."""

import io
from dataclasses import dataclass

import numpy as np
from pydantic import Field
from sqlalchemy import select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.growth_report import report_growth
from tianyu.pipelines.products import Products
from tianyu.pipelines.saving import save_file
from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.step import StepParameters, step
from tianyu.schema.tables import Aperture, Reduction, Source, SourcePhotometry, Target

PICTURE_INCHES = (9.0, 6.0)
PICTURE_DPI = 120
PICTURE_MARGINS = {"left": 0.1, "right": 0.985, "bottom": 0.095, "top": 0.94}
"""Parts of the picture; to let matplotlib find them would take as long as the drawing."""


class Diagnostics(StepParameters):
    """Parameters of the diagnostics."""

    n_classes: int = Field(3, ge=1, description="classes of brightness in the summary")


@dataclass(frozen=True)
class Precision:
    """Scatter and expectation of the sources of a run, brightest first."""

    source_id: IntArray
    name: list[str]
    mean_flux: FloatArray
    scatter: FloatArray
    expected: FloatArray
    radius_pix: FloatArray
    is_reference: BoolArray
    flux_unit: str

    @property
    def magnitude(self) -> FloatArray:
        """Instrumental magnitude, −2.5 log₁₀ of the mean flux."""
        return -2.5 * np.log10(self.mean_flux)


@step(
    "diagnostics",
    parameters=Diagnostics,
    reads=("source_photometry", "flux", "frame_verdict", "source_position", "aperture"),
    writes=("scatter_table", "scatter_figure", "growth_table", "growth_figure"),
)
def diagnose(parameters: Diagnostics, context: StepContext) -> Products:
    """Draw and tabulate how well every source was measured."""
    precision = _load(context)
    products = Products()
    if not len(precision.source_id):
        return products
    save_file(context, products, "scatter_table", "ecsv", _table(precision, parameters.n_classes))
    width, height = (int(inches * PICTURE_DPI) for inches in PICTURE_INCHES)
    picture = _picture(precision)
    save_file(context, products, "scatter_figure", "png", picture, size=(width, height))
    report_growth(context, products)
    return products


def _load(context: StepContext) -> Precision:
    query = (
        select(SourcePhotometry.__table__, Aperture.radius_pix, Target.name, Reduction.flux_unit)
        .join(Reduction, Reduction.run_id == SourcePhotometry.run_id)
        .join(Source, Source.id == SourcePhotometry.source_id)
        .join(
            Aperture,
            (Aperture.run_id == SourcePhotometry.run_id)
            & (Aperture.aperture == SourcePhotometry.default_aperture),
        )
        .outerjoin(Target, Target.id == Source.target_id)
        .where(SourcePhotometry.run_id == context.run_id, SourcePhotometry.mean_flux > 0)
        .where(SourcePhotometry.scatter > 0)
        .order_by(SourcePhotometry.mean_flux.desc(), SourcePhotometry.source_id)
    )
    with context.database.read() as connection:
        rows = connection.execute(query).all()
    return Precision(
        source_id=np.array([r.source_id for r in rows], dtype=np.int64),
        name=[r.name or "" for r in rows],
        mean_flux=np.array([r.mean_flux for r in rows]),
        scatter=np.array([r.scatter for r in rows]),
        expected=np.array([r.expected_scatter for r in rows], dtype=float),
        radius_pix=np.array([r.radius_pix for r in rows]),
        is_reference=np.array([bool(r.is_reference) for r in rows]),
        flux_unit=rows[0].flux_unit if rows else "adu",
    )


def class_medians(scatter: FloatArray, n_classes: int) -> list[float]:
    """Return the median scatter in classes of brightness with equal numbers of sources.

    Parameters
    ----------
    scatter : ndarray, shape (n,)
        Brightest source first.
    n_classes : int

    Examples
    --------
    >>> class_medians(np.array([0.01, 0.02, 0.03, 0.1, 0.2, 0.3]), 2)
    [0.02, 0.2]
    """
    return [float(np.median(part)) for part in np.array_split(scatter, n_classes) if part.size]


def _table(precision: Precision, n_classes: int) -> bytes:
    from astropy.table import Table  # noqa: PLC0415 - slow to import, needed once a night

    table = Table(
        {
            "source_id": precision.source_id,
            "source_name": precision.name,
            "mean_flux": precision.mean_flux,
            "instrumental_magnitude": precision.magnitude,
            "scatter": precision.scatter,
            "expected_scatter": precision.expected,
            "radius_pix": precision.radius_pix,
            "is_reference": precision.is_reference,
        }
    )
    table["mean_flux"].description = f"mean over good frames, {precision.flux_unit}"
    table["scatter"].description = "robust standard deviation of the relative flux"
    table.meta["median_scatter_by_brightness"] = class_medians(precision.scatter, n_classes)
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def _picture(precision: Precision) -> bytes:
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, needed once a night

    figure = Figure(figsize=PICTURE_INCHES, dpi=PICTURE_DPI)
    axes = figure.subplots(gridspec_kw=PICTURE_MARGINS)
    magnitude, scatter = precision.magnitude, 100 * precision.scatter
    others, reference = ~precision.is_reference, precision.is_reference
    axes.plot(magnitude[others], scatter[others], "o", ms=4, color="0.6", label="sources")
    axes.plot(magnitude[reference], scatter[reference], "o", ms=4, color="C0", label="references")
    order = np.argsort(magnitude)
    axes.plot(magnitude[order], 100 * precision.expected[order], ".", ms=3, color="C3",
              label="expected from the errors")  # fmt: skip
    for i, name in enumerate(precision.name):
        if name:
            axes.plot(magnitude[i], scatter[i], "*", ms=16, color="C1", mec="k", zorder=3)
            axes.annotate(name, (magnitude[i], scatter[i]), xytext=(8, 6),
                          textcoords="offset points")  # fmt: skip
    axes.set(
        yscale="log",
        xlabel=f"instrumental magnitude, −2.5 log₁₀(mean flux / {precision.flux_unit})",
        ylabel="robust scatter of the relative flux, %",
        title=f"{len(magnitude)} light curves, each in its default aperture",
    )
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(loc="upper left")
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
