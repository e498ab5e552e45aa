"""The night's curve of growth as products of a run: a table and a picture."""

import io
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy import or_, select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.cube import FluxCube, load_cube
from tianyu.pipelines.products import Products
from tianyu.pipelines.run_notes import tell
from tianyu.pipelines.saving import save_file
from tianyu.pipelines.science.arrays import AnyArray, FloatArray, IntArray
from tianyu.pipelines.science.growth import (
    ISOLATION_RADII,
    MAX_STARS,
    MIN_SNR,
    GrowthCurve,
    growth_stars,
    measure_growth,
)
from tianyu.schema.tables import Aperture, Flux, Reduction, Source, SourcePhotometry, SourcePosition

MAX_CANDIDATES = 2 * MAX_STARS
"""Brightest isolated sources whose fluxes are read: the brightest of all may be saturated."""

PICTURE_INCHES = (6.0, 4.0)
PICTURE_DPI = 120
PICTURE_MARGINS = {"left": 0.115, "right": 0.98, "bottom": 0.135, "top": 0.915}
"""Parts of the picture; to let matplotlib find them would take as long as the drawing."""


@dataclass(frozen=True)
class NightGrowth:
    """The curve of growth of a run, its stars and the fluxes that it comes from."""

    cube: FluxCube
    source_id: IntArray
    curve: GrowthCurve
    radius_pix: FloatArray
    """Of every aperture in every frame, shape (n_radius, n_frame)."""


def report_growth(context: StepContext, products: Products) -> None:
    """Add the curve of growth to the products of a run, or a note why there is none.

    Parameters
    ----------
    context : StepContext
    products : Products
        Gets the table ``growth_table`` and the picture ``growth_figure``.
    """
    night = _measure(context)
    if night is None:
        tell(
            products,
            context.run_id,
            growth=f"no curve of growth: no star of S/N {MIN_SNR:g} without flags has its "
            f"neighbours beyond {ISOLATION_RADII:g} times the largest aperture, or there is "
            "but one aperture",
        )
        return
    save_file(context, products, "growth_table", "ecsv", growth_table(night))
    width, height = (int(inches * PICTURE_DPI) for inches in PICTURE_INCHES)
    save_file(context, products, "growth_figure", "png", _picture(night), size=(width, height))


def _measure(context: StepContext) -> NightGrowth | None:
    radii = select(Aperture.radius_pix).where(Aperture.run_id == context.run_id)
    with context.database.read() as connection:
        radius_pix = np.sort(np.array(connection.scalars(radii).all(), dtype=np.float64))
    if len(radius_pix) < 2:
        return None
    neighbour = _isolated_candidates(context, ISOLATION_RADII * float(radius_pix[-1]))
    if not neighbour:
        return None
    measured = load_cube(context, list(neighbour))
    # Radii that follow the FWHM may meet or pass fixed ones: in the order of their medians.
    planes = np.unique(measured.radius_pix, return_index=True)[1]
    cube = _of_apertures(measured, planes)
    distance = np.array([neighbour[int(source_id)] for source_id in cube.source_id])
    stars = growth_stars(
        cube.flux, cube.flux_error, cube.flags, cube.good, distance, cube.radius_pix
    )
    if not len(stars):
        return None
    curve = measure_growth(cube.flux[:, stars], cube.flags[:, stars], cube.good, cube.radius_pix)
    source_id = cube.source_id[stars]
    used = _radii(context, measured, int(source_id[0]))
    return NightGrowth(cube, source_id, curve, used[planes])


def _of_apertures(cube: FluxCube, planes: IntArray) -> FluxCube:
    """Return a cube of these apertures, in their order."""
    return replace(
        cube,
        flux=cube.flux[planes],
        flux_error=cube.flux_error[planes],
        flags=cube.flags[planes],
        radius_pix=cube.radius_pix[planes],
    )


def _radii(context: StepContext, cube: FluxCube, source_id: int) -> FloatArray:
    """Return the radii that were used: they may follow the FWHM of the frames."""
    query = select(Flux.aperture, Flux.image_id, Flux.radius_pix).where(
        Flux.run_id == context.run_id, Flux.source_id == source_id
    )
    frame = {int(image_id): n for n, image_id in enumerate(cube.image_id)}
    radius_pix = np.repeat(cube.radius_pix[:, None], len(frame), axis=1)
    with context.database.read() as connection:
        for row in connection.execute(query):
            radius_pix[row.aperture, frame[row.image_id]] = row.radius_pix
    return radius_pix


def _isolated_candidates(context: StepContext, distance_pix: float) -> dict[int, float]:
    """Return the brightest detected sources with no other near, and the distance to that, px."""
    query = (
        select(SourcePosition.source_id, SourcePosition.neighbour_pix)
        .join(Reduction, Reduction.template_image_id == SourcePosition.template_image_id)
        .join(Source, Source.id == SourcePosition.source_id)
        .join(
            SourcePhotometry,
            (SourcePhotometry.source_id == SourcePosition.source_id)
            & (SourcePhotometry.run_id == Reduction.run_id),
        )
        .where(Reduction.run_id == context.run_id, SourcePhotometry.mean_flux > 0)
        .where(Source.is_forced.is_(False))
        .where(
            or_(
                SourcePosition.neighbour_pix.is_(None),
                SourcePosition.neighbour_pix >= distance_pix,
            )
        )
        .order_by(SourcePhotometry.mean_flux.desc(), SourcePosition.source_id)
        .limit(MAX_CANDIDATES)
    )
    with context.database.read() as connection:
        rows = connection.execute(query).all()
    return {
        row.source_id: float("inf") if row.neighbour_pix is None else row.neighbour_pix
        for row in rows
    }


def growth_table(night: NightGrowth) -> bytes:
    """Return the curves as an ECSV table: a row per frame and aperture, the night's in its head."""
    from astropy.table import Table  # noqa: PLC0415 - slow to import, needed once a night

    cube, curve = night.cube, night.curve
    n_radius = len(cube.radius_pix)

    def per_frame(values: AnyArray) -> AnyArray:
        return np.repeat(values, n_radius)

    table = Table(
        {
            "image_id": per_frame(cube.image_id),
            "jd_utc_mid": per_frame(cube.jd_utc_mid),
            "is_good": per_frame(cube.good),
            "fwhm_pix": per_frame(cube.fwhm_pix),
            "n_star": per_frame(curve.n_star),
            "radius_pix": night.radius_pix.T.reshape(-1),
            "growth": curve.growth.T.reshape(-1),
            "scatter": curve.scatter.T.reshape(-1),
        }
    )
    table["fwhm_pix"].description = "full width at half maximum of the frame's stars"
    table["n_star"].description = "stars measured in the frame, unflagged in every aperture"
    table["radius_pix"].description = "of the aperture in this frame"
    table["growth"].description = "median over the stars of flux over that in the largest radius"
    table["scatter"].description = "robust standard deviation over the stars"
    table.meta["night"] = {
        "n_good_frames": int(cube.good.sum()),
        "radius_pix": [float(value) for value in cube.radius_pix],
        "growth": [float(value) for value in curve.night_growth],
        "scatter_between_frames": [float(value) for value in curve.night_scatter],
        "source_id": [int(value) for value in night.source_id],
    }
    text = io.StringIO()
    table.write(text, format="ascii.ecsv")
    return text.getvalue().encode()


def _picture(night: NightGrowth) -> bytes:
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import, needed once a night

    cube, curve = night.cube, night.curve
    figure = Figure(figsize=PICTURE_INCHES, dpi=PICTURE_DPI)
    axes = figure.subplots(gridspec_kw=PICTURE_MARGINS)
    for chosen, colour, label in ((cube.good, "0.75", "frames"), (~cube.good, "C3", "rejected")):
        frames = zip(night.radius_pix[:, chosen].T, curve.growth[:, chosen].T, strict=True)
        for n, (radius_pix, growth) in enumerate(frames):
            axes.plot(radius_pix, growth, lw=0.6, color=colour, alpha=0.6,
                      label=label if n == 0 else None)  # fmt: skip
    axes.errorbar(cube.radius_pix, curve.night_growth, curve.night_scatter, fmt="o-", ms=4,
                  color="C0", capsize=3, label="night, scatter between frames")  # fmt: skip
    axes.set(
        xlabel="aperture radius, pixels",
        ylabel="flux over that in the largest aperture",
        title=f"curve of growth: {len(night.source_id)} stars, {int(cube.good.sum())} good frames",
    )
    axes.grid(visible=True, alpha=0.2)
    axes.legend(loc="lower right")
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
