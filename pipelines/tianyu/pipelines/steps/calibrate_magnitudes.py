"""Absolute photometry: zero points of frames by a catalogue, and calibrated magnitudes."""

import numpy as np
from pydantic import Field
from sqlalchemy import select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.counterparts import (
    CatalogueMagnitudes,
    catalogue_magnitudes,
    has_counterparts,
)
from tianyu.pipelines.cube import FluxCube, load_cube
from tianyu.pipelines.products import Products
from tianyu.pipelines.run_notes import tell
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.candidates import HARMLESS_FLAGS, usable_epochs
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.zeropoint import (
    ZeroPointFit,
    fit_zero_point,
    instrumental_magnitude,
    zero_points_of_frames,
)
from tianyu.pipelines.step import StepParameters, step
from tianyu.schema.numbers import read_numbers
from tianyu.schema.tables import (
    FluxLevel,
    Magnitude,
    MagnitudeScale,
    RelativeFlux,
    SourcePhotometry,
    ZeroPoint,
)

MAG_PER_RELATIVE_ERROR = 2.5 / np.log(10.0)


class CalibrateMagnitudes(StepParameters):
    """Parameters of the absolute calibration."""

    catalogue: str | None = Field(
        None, description="whose magnitudes; None: Gaia's, else of the one that was matched"
    )
    colour_term: bool = Field(False, description="fit a term in the catalogue's colour")


@step(
    "calibrate_magnitudes",
    parameters=CalibrateMagnitudes,
    reads=("flux", "relative_flux"),
    writes=("zero_point", "magnitude"),
)
def calibrate_magnitudes(parameters: CalibrateMagnitudes, context: StepContext) -> Products:
    """Give frames a zero point and sources magnitudes, where a catalogue was matched."""
    products = Products()
    # Most runs are matched with no catalogue: then there is no need to read all fluxes.
    cube = load_cube(context) if has_counterparts(context) else None
    known = None
    if cube is not None:
        known = catalogue_magnitudes(context, cube.source_id, parameters.catalogue)
    if cube is None or known is None or not np.isfinite(known.magnitude).any():
        words = "none: no source has a catalogue magnitude"
        tell(products, context.run_id, magnitudes=words)
        return products
    levels = _levels(context, cube)
    fits = [_fit(parameters, known, level, cube, i) for i, level in enumerate(levels)]
    for aperture, fit in enumerate(fits):
        _add_frames(products, context.run_id, cube, known, aperture, fit)
    if any(fit is not None for fit in fits):
        _add_scales(products, context.run_id, known.catalogue, fits)
        words = _add_magnitudes(products, context, cube, known, levels, fits)
    else:
        words = f"none: too few stars of {known.catalogue} are measured without a flag"
    tell(products, context.run_id, magnitudes=words)
    return products


def _clean(cube: FluxCube, aperture: int) -> FloatArray:
    """Return instrumental magnitudes of what is measured without a flag, blends left out."""
    flags, flux = cube.flags[aperture], cube.flux[aperture]
    harmless = np.uint16(HARMLESS_FLAGS & ~FluxFlag.BLENDED)
    usable = usable_epochs(flux, flags) & ((flags & ~harmless) == 0)
    return np.where(usable, instrumental_magnitude(flux), np.nan)


def _levels(context: StepContext, cube: FluxCube) -> FloatArray:
    """Return the flux of every source at mean transparency, shape (n_aperture, n_source)."""
    columns = FluxLevel.__table__.c
    with context.database.read() as connection:
        table = read_numbers(
            connection,
            [columns.source_id],
            [columns.aperture, columns.level],
            FluxLevel.run_id == context.run_id,
        )
    levels = np.full(cube.flux.shape[:2], np.nan)
    if len(table):
        source = np.searchsorted(cube.source_id, table[:, 0].astype(np.int64))
        levels[table[:, 1].astype(np.int64), source] = table[:, 2]
    return levels


def _fit(
    parameters: CalibrateMagnitudes,
    known: CatalogueMagnitudes,
    level: FloatArray,
    cube: FluxCube,
    aperture: int,
) -> ZeroPointFit | None:
    # A star that is flagged most of the time is no standard.
    clean = np.isfinite(_clean(cube, aperture)[:, cube.good]).mean(axis=1) > 0.5
    magnitude = np.where(clean, known.magnitude, np.nan)
    colour = known.colour if parameters.colour_term else None
    return fit_zero_point(instrumental_magnitude(level), magnitude, colour)


def _add_frames(
    products: Products,
    run_id: int,
    cube: FluxCube,
    known: CatalogueMagnitudes,
    aperture: int,
    fit: ZeroPointFit | None,
) -> None:
    correction = None if fit is None else fit.correction(known.colour)
    found = zero_points_of_frames(_clean(cube, aperture), known.magnitude, correction)
    order = np.argsort(cube.image_id, kind="stable")
    order = order[np.isfinite(found.zero_point[order])]
    products.rows(
        ZeroPoint,
        {
            "run_id": np.full(len(order), run_id),
            "image_id": cube.image_id[order],
            "aperture": np.full(len(order), aperture),
            "zero_point": found.zero_point[order],
            "zero_point_error": found.error[order],
            "scatter": found.scatter[order],
            "n_stars": found.n_stars[order],
        },
    )


def _add_scales(
    products: Products, run_id: int, catalogue: str, fits: list[ZeroPointFit | None]
) -> None:
    rows = [(aperture, fit) for aperture, fit in enumerate(fits) if fit is not None]
    products.rows(
        MagnitudeScale,
        {
            "run_id": [run_id] * len(rows),
            "aperture": [aperture for aperture, _ in rows],
            "catalogue": [catalogue] * len(rows),
            "zero_point": [fit.zero_point for _, fit in rows],
            "zero_point_error": [fit.error for _, fit in rows],
            "scatter": [fit.scatter for _, fit in rows],
            "n_stars": [fit.n_stars for _, fit in rows],
            "colour_term": [fit.colour_term for _, fit in rows],
            "colour_pivot": [fit.colour_pivot for _, fit in rows],
        },
    )


def _add_magnitudes(
    products: Products,
    context: StepContext,
    cube: FluxCube,
    known: CatalogueMagnitudes,
    levels: FloatArray,
    fits: list[ZeroPointFit | None],
) -> str:
    """Turn relative fluxes in the default apertures into magnitudes; say what came of it."""
    default = _default_apertures(context, cube)
    relative = RelativeFlux.__table__.c
    with context.database.read() as connection:
        table = read_numbers(
            connection,
            [relative.source_id],
            [
                relative.image_id,
                relative.aperture,
                relative.relative_flux,
                relative.relative_flux_error,
            ],
            RelativeFlux.run_id == context.run_id,
        )
    source = np.searchsorted(cube.source_id, table[:, 0].astype(np.int64))
    aperture = table[:, 2].astype(np.int64)
    zero = np.array([np.nan if fit is None else fit.zero_point for fit in fits])
    colour = np.array(
        [np.zeros(len(cube.source_id)) if f is None else f.correction(known.colour) for f in fits]
    )
    flux, error = table[:, 3], table[:, 4]
    magnitude = (
        zero[aperture]
        + colour[aperture, source]
        + instrumental_magnitude(flux * levels[aperture, source])
    )
    keep = (aperture == default[source]) & np.isfinite(magnitude)
    order = np.flatnonzero(keep)
    order = order[np.lexsort((table[order, 1], table[order, 0]))]
    products.rows(
        Magnitude,
        {
            "run_id": np.full(len(order), context.run_id),
            "source_id": table[order, 0].astype(np.int64),
            "image_id": table[order, 1].astype(np.int64),
            "magnitude": magnitude[order],
            "magnitude_error": MAG_PER_RELATIVE_ERROR * error[order] / flux[order],
        },
    )
    common = int(np.bincount(default).argmax())
    fit = fits[common] or next(fit for fit in fits if fit is not None)
    words = (
        f"{known.catalogue}: zero point {fit.zero_point:.3f} ± {fit.error:.3f} mag, scatter "
        f"{fit.scatter:.3f} mag over {fit.n_stars} stars, in {cube.radius_pix[common]:.2f} pixels"
    )
    if np.isfinite(fit.colour_term):
        words += f"; colour term {fit.colour_term:+.3f}"
    return words


def _default_apertures(context: StepContext, cube: FluxCube) -> np.ndarray:
    query = select(SourcePhotometry.source_id, SourcePhotometry.default_aperture)
    query = query.where(SourcePhotometry.run_id == context.run_id)
    default = np.zeros(len(cube.source_id), dtype=np.int64)
    with context.database.read() as connection:
        for row in connection.execute(query):
            default[np.searchsorted(cube.source_id, row.source_id)] = row.default_aperture
    return default
