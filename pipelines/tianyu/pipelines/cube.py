"""All fluxes of a run as arrays: source × frame per aperture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import MissingInputError
from tianyu.pipelines.frame_rows import FrameRow, load_frame_rows
from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.schema.numbers import read_numbers
from tianyu.schema.tables import Flux, Reduction, Source, SourcePosition

MOST_IDS_PER_ROW = 4
"""Ids that lie further apart would need a longer table than the rows themselves are."""


@dataclass(frozen=True)
class FluxCube:
    """Everything that relative photometry needs of a run.

    Attributes
    ----------
    flux, flux_error : ndarray, shape (n_aperture, n_source, n_frame)
        NaN where not measured; frames in the order of time.
    flags : ndarray of uint16, same shape
    good : ndarray of bool, shape (n_frame,)
    transparency : ndarray, shape (n_frame,)
    jd_utc_mid : ndarray, shape (n_frame,)
    airmass, exposure_s, fwhm_pix : ndarray, shape (n_frame,)
        NaN where not known.
    x, y : ndarray, shape (n_source,)
        Reference pixels.
    source_id : ndarray of int, shape (n_source,)
    image_id : ndarray of int, shape (n_frame,)
    radius_pix : ndarray, shape (n_aperture,)
        Its median over the frames where it follows their FWHM.
    is_forced : ndarray of bool, shape (n_source,)
        Placed by a person or where a target was not found: never a reference of others.
    """

    flux: FloatArray
    flux_error: FloatArray
    flags: NDArray[np.uint16]
    good: BoolArray
    transparency: FloatArray
    jd_utc_mid: FloatArray
    airmass: FloatArray
    exposure_s: FloatArray
    fwhm_pix: FloatArray
    x: FloatArray
    y: FloatArray
    source_id: IntArray
    image_id: IntArray
    radius_pix: FloatArray
    is_forced: BoolArray


def load_cube(context: StepContext, source_ids: Sequence[int] | None = None) -> FluxCube:
    """Read the fluxes of the run.

    Parameters
    ----------
    context : StepContext
    source_ids : sequence of int, optional
        Only these sources, some hundred at most; by default all.

    Raises
    ------
    MissingInputError
        If the run has none.
    """
    frames = [frame for frame in load_frame_rows(context) if frame.transform is not None]
    of_run = Flux.run_id == context.run_id
    if source_ids is not None:
        of_run &= Flux.source_id.in_(source_ids)
    names = ("source_id", "image_id", "aperture", "flux", "flux_error", "flags")
    source_id, *others = (Flux.__table__.c[name] for name in names)
    positions = (
        select(SourcePosition.source_id, SourcePosition.x, SourcePosition.y, Source.is_forced)
        .join(Reduction, Reduction.template_image_id == SourcePosition.template_image_id)
        .join(Source, Source.id == SourcePosition.source_id)
        .where(Reduction.run_id == context.run_id)
    )
    radii = select(Flux.aperture, Flux.radius_pix).where(of_run).distinct()
    with context.database.read() as connection:
        table = read_numbers(connection, [source_id], others, of_run)
        if not len(table):
            raise MissingInputError(f"run {context.run_id} has no fluxes to compare")
        rows = connection.execute(positions).all()
        # All sources of a frame are measured through the same apertures.
        one = Flux.source_id == int(table[0, 0])
        sizes: dict[int, list[float]] = {}
        for row in connection.execute(radii.where(one)):
            sizes.setdefault(row.aperture, []).append(row.radius_pix)
    radius_pix = {aperture: float(np.median(found)) for aperture, found in sizes.items()}
    xy = {row.source_id: (row.x, row.y) for row in rows}
    forced = frozenset(row.source_id for row in rows if row.is_forced)
    return _fold(table, frames, xy, radius_pix, forced)


def _fold(
    table: FloatArray,
    frames: list[FrameRow],
    positions: dict[int, tuple[float, float]],
    radius_pix: dict[int, float],
    forced: frozenset[int] = frozenset(),
) -> FluxCube:
    """Turn rows, in any order, into a cube; frames in the order of time."""
    source_id, source = _ranked(table[:, 0])
    measured, image = _ranked(table[:, 1])
    aperture = table[:, 2].astype(np.int64)
    are_measured = frozenset(measured.tolist())
    kept = [frame for frame in frames if frame.image_id in are_measured]
    image_id = np.array([frame.image_id for frame in kept])
    by_id = np.argsort(image_id)
    frame = by_id[np.searchsorted(image_id[by_id], measured)][image]
    shape = (int(aperture.max()) + 1, len(source_id), len(kept))
    flux, flux_error = np.full(shape, np.nan), np.full(shape, np.nan)
    flags = np.zeros(shape, np.uint16)
    place = (aperture, source, frame)
    flux[place], flux_error[place] = table[:, 3], table[:, 4]
    flags[place] = table[:, 5].astype(np.uint16)
    xy = np.array([positions[int(s)] for s in source_id])
    return FluxCube(
        flux=flux,
        flux_error=flux_error,
        flags=flags,
        good=np.array([f.is_good for f in kept]),
        transparency=np.array([_number(f.transparency) for f in kept]),
        jd_utc_mid=np.array([_number(f.jd_utc_mid) for f in kept]),
        airmass=np.array([_number(f.airmass) for f in kept]),
        exposure_s=np.array([_number(f.exposure_s) for f in kept]),
        fwhm_pix=np.array([_number(f.fwhm_pix) for f in kept]),
        x=xy[:, 0],
        y=xy[:, 1],
        source_id=source_id,
        image_id=image_id,
        radius_pix=np.array([radius_pix.get(number, np.nan) for number in range(shape[0])]),
        is_forced=np.isin(source_id, list(forced)),
    )


def _ranked(numbers: FloatArray) -> tuple[IntArray, IntArray]:
    """Return which ids there are, in order, and the place of each row's among them."""
    ids = numbers.astype(np.int64)
    first = int(ids.min())
    ids -= first
    if ids.max() > MOST_IDS_PER_ROW * ids.size:
        known, place = np.unique(ids, return_inverse=True)
        return known + first, place
    # Counted instead of sorted: those of a night are close together.
    known = np.flatnonzero(np.bincount(ids))
    places = np.empty(int(known[-1]) + 1, np.int64)
    places[known] = np.arange(known.size)
    return known + first, places[ids]


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
