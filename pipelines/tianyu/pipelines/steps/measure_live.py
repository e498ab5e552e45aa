"""A frame that has just come: measured at known sources and compared with known references.

Everything of it is committed at once, so that a point of a light curve is there a moment after
its frame. It is provisional: verdict and levels rest on the frames so far and on the template's,
and the reduction of the whole night replaces it.
"""

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
from pydantic import Field
from sqlalchemy import Connection, select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.current import make_current
from tianyu.pipelines.flux_plan import FluxPlan
from tianyu.pipelines.frames import find_product_of
from tianyu.pipelines.known_references import ServedSources, load_references
from tianyu.pipelines.products import Products
from tianyu.pipelines.science.apertures import ApertureFluxes
from tianyu.pipelines.science.arrays import AnyArray, FloatArray
from tianyu.pipelines.science.frame_noise import proportional_noise
from tianyu.pipelines.science.provisional import compare_with_known
from tianyu.pipelines.science.selection import Verdict
from tianyu.pipelines.step import step
from tianyu.pipelines.steps.calibrate_align import Measured
from tianyu.pipelines.steps.measure_frames import MeasureFrames, add_chunk, measure_chunk
from tianyu.pipelines.steps.select_frames import SelectFrames, judge
from tianyu.pipelines.surroundings import HandVerdict
from tianyu.schema.numbers import read_numbers
from tianyu.schema.tables import Frame, FrameVerdict, Observation, Reduction, RelativeFlux


class MeasureLive(MeasureFrames):
    """Parameters of measuring frames as they come."""

    diameter_m: float | None = Field(
        None, gt=0, description="of the telescope; None: no scintillation in the errors"
    )
    by_hand: tuple[HandVerdict, ...] = Field((), description="verdicts of people, which count more")


@step(
    "measure_live",
    parameters=MeasureLive,
    reads=("light", "reference_frame", "source_position", "aperture", "source_photometry"),
    writes=("frame", "sky_mesh", "aperture_ellipse", "flux", "frame_verdict", "relative_flux"),
)
def measure_live(parameters: MeasureLive, context: StepContext) -> Products:
    """Measure frames that have just come, and compare them with the references of the template."""
    chunk = measure_chunk(parameters, context)
    products = Products()
    times = add_chunk(products, parameters, context, chunk)
    verdicts = _verdicts(parameters, context, chunk.results)
    _add_verdicts(products, context.run_id, chunk.results, verdicts)
    if not chunk.fluxes:
        return products
    index = {result.file.image_id: i for i, result in enumerate(chunk.results)}
    place = [index[image_id] for image_id, _ in chunk.fluxes]
    aligned = [chunk.results[i] for i in place]
    noise = _proportional_noise(parameters, context, aligned, times.airmass[place])
    good = np.array([verdicts[i].is_good for i in place])
    with context.database.read() as connection:
        n_aperture = len(chunk.plan.radii_pix)
        served = load_references(connection, context.run_id, chunk.plan.source_id, n_aperture)
    columns = _relative_columns(context.run_id, chunk.plan, chunk.fluxes, served, good, noise)
    products.rows(RelativeFlux, columns)
    products.then(lambda connection: _show(connection, context.run_id))
    return products


def _verdicts(
    parameters: MeasureLive, context: StepContext, results: Sequence[Measured]
) -> list[Verdict]:
    """Judge new frames among those that came before them, by the tests of a whole night."""
    before = _earlier(context)
    # The reference frame may be of another night, and is not the clearest of this one anyway.
    selection = SelectFrames(by_hand=parameters.by_hand, reference_is_of_another_night=True)
    return judge(selection, [*before, *map(_measurements, results)])[len(before) :]


def _earlier(context: StepContext) -> list[SimpleNamespace]:
    """Return what was measured of the frames before; why some failed is told already."""
    names = ("n_stars", "sky_rms", "transparency", "is_aligned")
    frame = Frame.__table__.c
    with context.database.read() as connection:
        others = [frame[name] for name in ("image_id", *names)]
        rows = read_numbers(connection, [frame.run_id], others, frame.run_id == context.run_id)
    rows = rows[np.argsort(rows[:, 1])]
    return [
        SimpleNamespace(
            image_id=int(row[1]), problem=None, **dict(zip(names, row[2:].tolist(), strict=True))
        )
        for row in rows
    ]


def _measurements(result: Measured) -> SimpleNamespace:
    stars, image, alignment = result.stars, result.image, result.alignment
    return SimpleNamespace(
        image_id=result.file.image_id,
        n_stars=stars.n_detected if stars else None,
        sky_rms=image.sky.rms if image else None,
        transparency=alignment.transparency if alignment else None,
        is_aligned=alignment is not None,
        problem=result.problem,
    )


def _add_verdicts(
    products: Products, run_id: int, results: Sequence[Measured], verdicts: Sequence[Verdict]
) -> None:
    products.rows(
        FrameVerdict,
        {
            "run_id": [run_id] * len(results),
            "image_id": [result.file.image_id for result in results],
            "is_good": [verdict.is_good for verdict in verdicts],
            "reject_bits": [int(verdict.reasons) for verdict in verdicts],
            "reason": [verdict.text for verdict in verdicts],
        },
    )


def _proportional_noise(
    parameters: MeasureLive, context: StepContext, results: Sequence[Measured], airmass: FloatArray
) -> FloatArray:
    """Return scintillation and the flat's noise relative to the flux, shape (n_frame,)."""
    birth = parameters.calibration.flat
    flat = None if birth is None else find_product_of(context, birth, "master_flat")
    widths = [r.stars.fwhm_pix_median if r.stars else None for r in results]
    return proportional_noise(
        airmass,
        np.array([r.file.exposure_s or np.nan for r in results], dtype=float),
        diameter_m=parameters.diameter_m,
        altitude_m=parameters.place.altitude_m,
        flat_noise=None if flat is None else flat.header.get("pixel_noise"),
        fwhm_pix=np.array(widths, dtype=float),
    )


def _relative_columns(
    run_id: int,
    plan: FluxPlan,
    measured: Sequence[tuple[int, ApertureFluxes]],
    served: Sequence[ServedSources],
    good: AnyArray,
    noise: FloatArray,
) -> dict[str, AnyArray]:
    """Compare every source in every aperture; return rows in the order of the table's key."""
    order = np.argsort([image_id for image_id, _ in measured], kind="stable")
    measured, good, noise = [measured[i] for i in order], good[order], noise[order]
    # Axes: source, frame, aperture.
    flux = np.stack([fluxes.flux for _, fluxes in measured], axis=1)
    error = np.stack([fluxes.flux_error for _, fluxes in measured], axis=1)
    flags = np.stack([fluxes.flags for _, fluxes in measured], axis=1)
    error = np.hypot(error, np.abs(flux) * noise[None, :, None])
    relative, relative_error = np.full(flux.shape, np.nan), np.full(flux.shape, np.nan)
    relative_flags = flags.copy()
    for group in served:
        a, rows = group.aperture, group.sources
        found = compare_with_known(
            flux[..., a], error[..., a], flags[..., a], good, plan.x, plan.y, group.references
        )
        relative[rows, :, a] = found.flux[rows]
        relative_error[rows, :, a] = found.error[rows]
        relative_flags[rows, :, a] = found.flags[rows]
    source, frame, aperture = np.nonzero(np.isfinite(relative))
    images = np.array([image_id for image_id, _ in measured])
    return {
        "run_id": np.full(len(source), run_id),
        "source_id": plan.source_id[source],
        "image_id": images[frame],
        "aperture": aperture,
        "relative_flux": relative[source, frame, aperture],
        "relative_flux_error": relative_error[source, frame, aperture],
        "flags": relative_flags[source, frame, aperture],
    }


def _show(connection: Connection, run_id: int) -> None:
    """Let the view show this run, unless it does or a later one has been published."""
    query = (
        select(Observation.current_run_id)
        .join(Reduction, Reduction.observation_id == Observation.id)
        .where(Reduction.run_id == run_id)
    )
    if connection.scalar(query) != run_id:
        make_current(connection, run_id, unless_newer=True)
