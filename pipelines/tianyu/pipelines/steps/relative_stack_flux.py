"""Relative photometry of stacks: the references of the single frames serve once more."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sqlalchemy import Row, select

from tianyu.pipelines.comparing import FEWEST_CANDIDATES, Method, choose_candidates, compare
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.counterparts import known_stars
from tianyu.pipelines.cube import FluxCube, load_cube
from tianyu.pipelines.medians import medians_for
from tianyu.pipelines.products import Products
from tianyu.pipelines.science.arrays import AnyArray, FloatArray
from tianyu.pipelines.science.relative import RelativeFlux
from tianyu.pipelines.step import step
from tianyu.pipelines.steps.relative_photometry import FrameNoise, with_frame_noise
from tianyu.schema.numbers import read_numbers
from tianyu.schema.tables import ReferenceGroup, StackEpoch, StackFlux, StackRelativeFlux


class RelativeStackFlux(FrameNoise):
    """Parameters; method and references are those of the single frames."""


@step(
    "relative_stack_flux",
    parameters=RelativeStackFlux,
    reads=("stack_flux", "flux", "relative_flux", "source_position"),
    writes=("stack_relative_flux",),
)
def relative_stack_flux(parameters: RelativeStackFlux, context: StepContext) -> Products:
    """Divide every light curve on stacks by those of the reference stars of the run."""
    products = Products()
    with context.database.read() as connection:
        of_run = ReferenceGroup.run_id == context.run_id
        method = connection.scalar(select(ReferenceGroup.method).where(of_run).limit(1))
        epochs = connection.execute(
            select(StackEpoch.__table__)
            .where(StackEpoch.run_id == context.run_id)
            .order_by(StackEpoch.scale, StackEpoch.epoch)
        ).all()
    if method is None or not epochs:
        # The run says why it has no relative fluxes; stacks have none then either.
        return products
    _, cube = with_frame_noise(context, parameters, load_cube(context))
    chosen = Method(method)
    candidates, _ = choose_candidates(
        cube, len(cube.radius_pix) // 2, chosen, known_stars(context, cube.source_id)
    )
    if np.count_nonzero(candidates.is_candidate) < FEWEST_CANDIDATES:
        return products
    for scale in sorted({row.scale for row in epochs}):
        rows = [row for row in epochs if row.scale == scale]
        # Scintillation averages over the exposures of a stack.
        _, onto = with_frame_noise(context, parameters, _stack_cube(context, cube, scale, rows))
        curves = compare(
            cube, candidates, chosen, onto=onto, medians=medians_for(cube.flux.size)
        ).curves
        products.rows(StackRelativeFlux, _columns(context.run_id, scale, cube, rows, curves))
    return products


def _stack_cube(
    context: StepContext, cube: FluxCube, scale: int, epochs: Sequence[Row[Any]]
) -> FluxCube:
    """Return the fluxes on the stacks of one scale, for the sources and radii of the frames."""
    table = StackFlux.__table__.c
    with context.database.read() as connection:
        rows = read_numbers(
            connection,
            [table.source_id],
            [table.epoch, table.aperture, table.flux, table.flux_error, table.flags],
            (StackFlux.run_id == context.run_id) & (StackFlux.scale == scale),
        )
    shape = (len(cube.radius_pix), len(cube.source_id), len(epochs))
    flux, error = np.full(shape, np.nan), np.full(shape, np.nan)
    flags = np.zeros(shape, np.uint16)
    source = np.searchsorted(cube.source_id, rows[:, 0].astype(np.int64))
    numbers = np.array([row.epoch for row in epochs])
    epoch = np.searchsorted(numbers, rows[:, 1].astype(np.int64))
    place = (rows[:, 2].astype(np.int64), source, epoch)
    flux[place], error[place] = rows[:, 3], rows[:, 4]
    flags[place] = rows[:, 5].astype(np.uint16)
    return FluxCube(
        flux=flux,
        flux_error=error,
        flags=flags,
        good=np.ones(len(epochs), dtype=np.bool_),
        transparency=_numbers([row.transparency for row in epochs]),
        jd_utc_mid=_numbers([row.jd_utc_mid for row in epochs]),
        x=cube.x,
        y=cube.y,
        source_id=cube.source_id,
        image_id=np.array([row.image_id for row in epochs]),
        radius_pix=cube.radius_pix,
        is_forced=cube.is_forced,
        airmass=_numbers([row.airmass for row in epochs]),
        exposure_s=_numbers([row.exposure_s for row in epochs]),
        fwhm_pix=_fwhm(cube, epochs),
    )


def _fwhm(cube: FluxCube, epochs: Sequence[Row[Any]]) -> FloatArray:
    """Return the mean width of the stars in the frames of each stack, pixels."""
    width = dict(zip(cube.image_id.tolist(), cube.fwhm_pix.tolist(), strict=True))
    return np.array(
        [np.mean([width.get(i, np.nan) for i in row.frames["averaged"]]) for row in epochs]
    )


def _numbers(values: list[float | None]) -> FloatArray:
    # None becomes NaN.
    return np.array(values, dtype=np.float64)


def _columns(
    run_id: int, scale: int, cube: FluxCube, epochs: Sequence[Row[Any]], curves: list[RelativeFlux]
) -> dict[str, AnyArray]:
    """Return the rows as columns in the order of the table's key."""
    flux = np.stack([curve.flux for curve in curves], axis=-1)
    shape = flux.shape

    def spread(values: AnyArray, axis: int) -> AnyArray:
        lengths = [1, 1, 1]
        lengths[axis] = len(values)
        return np.broadcast_to(values.reshape(lengths), shape).reshape(-1)

    finite = np.isfinite(flux).reshape(-1)
    columns = {
        "run_id": np.full(flux.size, run_id),
        "source_id": spread(cube.source_id, 0),
        "scale": np.full(flux.size, scale),
        "epoch": spread(np.array([row.epoch for row in epochs]), 1),
        "aperture": spread(np.arange(shape[2]), 2),
        "relative_flux": flux.reshape(-1),
        "relative_flux_error": np.stack([c.error for c in curves], axis=-1).reshape(-1),
        "flags": np.stack([c.flags for c in curves], axis=-1).reshape(-1),
    }
    return {name: values[finite] for name, values in columns.items()}
