"""Relative photometry: every source against its reference stars, every aperture."""

from dataclasses import replace

import numpy as np
from pydantic import Field
from sqlalchemy import Connection, insert

from tianyu.pipelines.calibration import Calibration
from tianyu.pipelines.comparing import (
    FEWEST_CANDIDATES,
    Comparison,
    Method,
    choose_candidates,
    compare,
)
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.counterparts import known_stars
from tianyu.pipelines.cube import FluxCube, load_cube
from tianyu.pipelines.current import make_current
from tianyu.pipelines.detector_noise import in_words, noise_gain
from tianyu.pipelines.frames import find_facts_of_product
from tianyu.pipelines.medians import medians_for
from tianyu.pipelines.products import Products
from tianyu.pipelines.run_notes import Notes, add_notes
from tianyu.pipelines.saturated_targets import saturated_targets
from tianyu.pipelines.science.arrays import AnyArray, BoolArray, IntArray
from tianyu.pipelines.science.frame_noise import proportional_noise
from tianyu.pipelines.science.radius import choose_radius
from tianyu.pipelines.science.scatter import Medians, measure_scatter
from tianyu.pipelines.step import StepParameters, step
from tianyu.pipelines.surroundings import Place
from tianyu.schema.bulk import insert_columns, plain
from tianyu.schema.tables import (
    FluxLevel,
    ReferenceGroup,
    ReferenceMember,
    RelativeFlux,
    SourcePhotometry,
)

FEWEST_FRAMES = 2
"""A relative flux is relative to the other frames of its night."""

FEWEST_FRAMES_FOR_SCATTER = 5
"""Of fewer the robust scatter about a trend says nothing: the middle aperture is the default."""


class FrameNoise(StepParameters):
    """What the noise that is proportional to the flux follows from."""

    calibration: Calibration = Calibration()
    place: Place = Place()
    diameter_m: float | None = Field(
        None, gt=0, description="of the telescope; None: no scintillation in the errors"
    )
    gain_e_per_adu: float | None = Field(None, gt=0)


class RelativePhotometry(FrameNoise):
    """Parameters of the comparison."""

    method: Method = Field(Method.ENSEMBLE, description="groups (as published) or ensemble")


@step(
    "relative_photometry",
    parameters=RelativePhotometry,
    reads=("flux", "frame_verdict", "source_position"),
    writes=("relative_flux", "source_photometry"),
)
def relative_photometry(parameters: RelativePhotometry, context: StepContext) -> Products:
    """Divide every light curve by those of its reference stars."""
    cube = load_cube(context)
    noise_notes, cube = with_frame_noise(context, parameters, cube)
    # References are chosen where bright and faint stars are both measured well: near 1 FWHM.
    aperture = len(cube.radius_pix) // 2
    notes = {"errors": noise_notes} | saturated_targets(context, cube, aperture)
    n_good = int(np.count_nonzero(cube.good))
    if n_good < FEWEST_FRAMES:
        return _without_curves(
            context,
            f"{n_good} good frame{'s' * (n_good != 1)}, a light curve needs {FEWEST_FRAMES}",
            notes,
        )
    known = known_stars(context, cube.source_id)
    candidates, note = choose_candidates(cube, aperture, parameters.method, known)
    n_candidates = int(np.count_nonzero(candidates.is_candidate))
    if n_candidates < FEWEST_CANDIDATES:
        return _without_curves(
            context,
            f"{n_candidates} stars can serve as references, {FEWEST_CANDIDATES} are needed",
            notes,
        )
    products = Products()
    medians = medians_for(cube.flux.size)
    comparison = compare(cube, candidates, parameters.method, medians=medians)
    _add_relative_fluxes(products, context.run_id, cube, comparison)
    _add_levels(products, context.run_id, cube, comparison)
    _add_conclusions(products, context.run_id, cube, comparison, parameters.method, medians)
    if note is not None:
        notes["relative_photometry"] = note
    _conclude(products, context, notes)
    return products


def _without_curves(context: StepContext, why: str, notes: Notes) -> Products:
    """Keep the fluxes, which are there already, and say why nothing is compared."""
    products = Products()
    note = f"{why}: fluxes are stored, relative fluxes are not"
    _conclude(products, context, notes | {"relative_photometry": note})
    return products


def _conclude(products: Products, context: StepContext, notes: Notes) -> None:
    def conclude(connection: Connection) -> None:
        # A later run may have ended before it.
        make_current(connection, context.run_id, unless_newer=True)
        add_notes(connection, context.run_id, notes)

    products.then(conclude)


def with_frame_noise(
    context: StepContext, parameters: FrameNoise, cube: FluxCube
) -> tuple[str, FluxCube]:
    """Add what is proportional to the flux to the errors, and say what they hold."""
    birth = parameters.calibration.flat
    flat = None if birth is None else find_facts_of_product(context, birth, "master_flat")
    flat_noise = None if flat is None else flat.header.get("pixel_noise")
    proportional = proportional_noise(
        cube.airmass,
        cube.exposure_s,
        diameter_m=parameters.diameter_m,
        altitude_m=parameters.place.altitude_m,
        flat_noise=flat_noise,
        fwhm_pix=cube.fwhm_pix,
    )
    error = np.hypot(cube.flux_error, np.abs(cube.flux) * proportional)
    gain = noise_gain(context, parameters.gain_e_per_adu, birth)
    unit = "adu" if parameters.gain_e_per_adu is None else "electron"
    words = [in_words(gain, flux_unit=unit)]
    if parameters.diameter_m is None:
        words.append("no scintillation, since the telescope's diameter is not known")
    return "; ".join(words), replace(cube, flux_error=error)


def _add_relative_fluxes(
    products: Products, run_id: int, cube: FluxCube, comparison: Comparison
) -> None:
    """Add the rows in the order of the table's key: source, image, aperture."""
    flux = np.stack([curve.flux for curve in comparison.curves], axis=-1)
    shape = flux.shape
    # The key wants images by id; the cube holds them by time.
    order = np.argsort(cube.image_id, kind="stable")

    def folded(values: AnyArray) -> AnyArray:
        return np.asarray(values[:, order]).reshape(-1)

    def spread(values: AnyArray, axis: int) -> AnyArray:
        lengths = [1, 1, 1]
        lengths[axis] = len(values)
        return np.broadcast_to(values.reshape(lengths), shape).reshape(-1)

    finite = np.isfinite(folded(flux))
    columns = {
        "run_id": np.full(flux.size, run_id),
        "source_id": spread(cube.source_id, 0),
        "image_id": spread(cube.image_id[order], 1),
        "aperture": spread(np.arange(shape[2]), 2),
        "relative_flux": folded(flux),
        "relative_flux_error": folded(np.stack([c.error for c in comparison.curves], axis=-1)),
        "flags": folded(np.stack([c.flags for c in comparison.curves], axis=-1)),
    }
    if not finite.all():
        columns = {name: values[finite] for name, values in columns.items()}
    products.rows(RelativeFlux, columns)


def _add_levels(products: Products, run_id: int, cube: FluxCube, comparison: Comparison) -> None:
    """Add what other nights of this sky are joined by; on its own scale until that is done."""
    level = np.stack([curve.level for curve in comparison.curves], axis=-1)
    source, aperture = np.nonzero(np.isfinite(level))
    products.rows(
        FluxLevel,
        {
            "run_id": np.full(len(source), run_id),
            "source_id": cube.source_id[source],
            "aperture": aperture,
            "level": level[source, aperture],
            "scale": np.ones(len(source)),
        },
    )


def _add_conclusions(
    products: Products,
    run_id: int,
    cube: FluxCube,
    comparison: Comparison,
    method: Method,
    medians: Medians,
) -> None:
    default = _default_apertures(cube, comparison, medians)
    source = np.arange(len(cube.source_id))
    flux = np.stack([curve.flux for curve in comparison.curves])[default, source]
    error = np.stack([curve.error for curve in comparison.curves])[default, source]
    noise = measure_scatter(flux[:, cube.good], error[:, cube.good], medians)
    measured = cube.flux[default, source][:, cube.good]
    n_measured = np.isfinite(measured).sum(axis=1)
    mean = np.where(n_measured > 0, np.nansum(measured, axis=1) / np.maximum(n_measured, 1), np.nan)
    columns = {
        "run_id": np.full(len(source), run_id),
        "source_id": cube.source_id,
        "default_aperture": default,
        "is_reference": np.stack([c.is_reference for c in comparison.curves])[default, source],
        "n_epochs": np.isfinite(flux[:, cube.good]).sum(axis=1),
        "mean_flux": mean,
        "scatter": noise.mad,
        "expected_scatter": noise.expected,
        "von_neumann": noise.eta,
    }
    products.then(
        lambda connection: _write_conclusions(connection, run_id, cube, comparison, method, columns)
    )


def _default_apertures(cube: FluxCube, comparison: Comparison, medians: Medians) -> IntArray:
    """Choose a radius per source from stars like it; references are stars without events."""
    n_aperture, n_source, n_frame = cube.flux.shape
    if np.count_nonzero(cube.good) < FEWEST_FRAMES_FOR_SCATTER:
        return np.full(n_source, n_aperture // 2)
    has_times = np.isfinite(cube.jd_utc_mid[cube.good]).all()
    curves = np.stack([curve.flux for curve in comparison.curves])

    # A trend in the order of the frames, where headers tell no times.
    time = cube.jd_utc_mid if has_times else np.arange(n_frame, dtype=float)

    def chosen(sources: BoolArray) -> IntArray:
        return choose_radius(
            time,
            curves[:, sources],
            comparison.candidates.mean_flux[sources],
            cube.good,
            may_vote=comparison.candidates.is_candidate[sources],
            medians=medians,
        )

    default = chosen(np.ones(len(cube.source_id), dtype=np.bool_))
    if cube.is_forced.any():
        # Choices are smoothed over ranks of brightness: a given place must not move a star's.
        default[~cube.is_forced] = chosen(~cube.is_forced)
    return default


def _write_conclusions(
    connection: Connection,
    run_id: int,
    cube: FluxCube,
    comparison: Comparison,
    method: Method,
    columns: dict[str, AnyArray],
) -> None:
    group_ids = []
    for number, group in enumerate(comparison.groups):
        values = {
            "run_id": run_id,
            "number": number,
            "method": method.value,
            "position_bin": group.position_bin,
            "flux_bin": group.flux_bin,
            "n_members": len(group.members),
            "n_references": len(group.references),
            "snr": plain(group.snr),
            "note": group.note,
            "surface_order": group.surface_order,
        }
        key = connection.execute(insert(ReferenceGroup).values(**values)).inserted_primary_key
        group_id = int(key[0]) if key is not None else 0
        group_ids.append(group_id)
        members = {
            "group_id": np.full(len(group.references), group_id),
            "source_id": cube.source_id[group.references],
            "weight": group.weights,
            "is_borrowed": group.is_borrowed,
        }
        insert_columns(connection, ReferenceMember.__table__, members)  # type: ignore[arg-type]  # a Table
    # Where each aperture has references of its own, those of the default one are meant.
    index = columns["default_aperture"] if comparison.group_of is None else comparison.group_of
    group_of = np.array(group_ids)[index]
    table = SourcePhotometry.__table__
    insert_columns(connection, table, columns | {"group_id": group_of})  # type: ignore[arg-type]  # a Table
