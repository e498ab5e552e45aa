"""All light curves of one run, each in its default aperture, as arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import BindParameter, Connection, bindparam, select

from tianyu.cli.curves.light_curve import SPOILING
from tianyu.cli.retention.packing import refuse_packed
from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.schema.errors import NotFoundError
from tianyu.schema.numbers import read_numbers
from tianyu.schema.tables import (
    Aperture,
    Flux,
    Frame,
    FrameVerdict,
    Image,
    Reduction,
    RelativeFlux,
    Source,
    SourcePhotometry,
    SourcePosition,
    Target,
)

RUN: BindParameter[int] = bindparam("run")

_SOURCES = (
    select(
        SourcePhotometry.source_id,
        SourcePhotometry.default_aperture,
        SourcePhotometry.mean_flux,
        SourcePhotometry.is_reference,
        Aperture.radius_pix,
        Target.name,
        SourcePosition.x,
        SourcePosition.y,
        SourcePosition.ra_deg,
        SourcePosition.dec_deg,
        SourcePosition.neighbour_pix,
    )
    .join(Reduction, Reduction.run_id == SourcePhotometry.run_id)
    .join(Source, Source.id == SourcePhotometry.source_id)
    .join(
        Aperture,
        (Aperture.run_id == SourcePhotometry.run_id)
        & (Aperture.aperture == SourcePhotometry.default_aperture),
    )
    .outerjoin(Target, Target.id == Source.target_id)
    .outerjoin(
        SourcePosition,
        (SourcePosition.template_image_id == Reduction.template_image_id)
        & (SourcePosition.source_id == SourcePhotometry.source_id),
    )
    .where(SourcePhotometry.run_id == RUN)
    .order_by(SourcePhotometry.source_id)
)

_FRAMES = (
    select(
        Frame.image_id,
        Frame.bjd_tdb_mid,
        Frame.jd_utc_mid,
        Frame.airmass,
        Frame.fwhm_pix,
        Frame.sky_level,
        Frame.sky_rms,
        Frame.transparency,
        FrameVerdict.is_good,
        Image.exposure_s,
    )
    .join(Image, Image.id == Frame.image_id)
    .outerjoin(
        FrameVerdict,
        (FrameVerdict.run_id == Frame.run_id) & (FrameVerdict.image_id == Frame.image_id),
    )
    .where(Frame.run_id == RUN, Frame.is_aligned.is_(True))
    .order_by(Frame.jd_utc_mid, Frame.image_id)
)


@dataclass(frozen=True, eq=False)
class RunCurves:
    """Light curves of a run; sources along the first axis, frames in time along the second.

    Attributes
    ----------
    run : int
    flux_unit : str
        Of ``raw_flux`` and ``mean_flux``.
    source_id, radius_pix, mean_flux, x, y, ra_deg, dec_deg, neighbour_pix, is_reference :
        ndarray, shape (n_source,)
    name : list of str
        Empty where the source is no target.
    time, airmass, fwhm_pix, sky_level, sky_rms, exposure_s : ndarray, shape (n_frame,)
        Good frames only; time is BJD_TDB at the field's centre, or JD_UTC.
    flux, error : ndarray, shape (n_source, n_frame)
        Relative flux and its error; NaN where not measured or with a bad flag.
    raw_flux : ndarray, same shape
        Flux in the aperture.
    pixel_rms : ndarray, same shape
        Noise of a pixel in the ring about the source, unit of the flux; NaN where not measured.
    """

    run: int
    flux_unit: str
    has_bjd: bool
    source_id: IntArray
    name: list[str]
    radius_pix: FloatArray
    mean_flux: FloatArray
    is_reference: BoolArray
    x: FloatArray
    y: FloatArray
    ra_deg: FloatArray
    dec_deg: FloatArray
    neighbour_pix: FloatArray
    time: FloatArray
    image_id: IntArray
    airmass: FloatArray
    fwhm_pix: FloatArray
    sky_level: FloatArray
    sky_rms: FloatArray
    exposure_s: FloatArray
    flux: FloatArray
    error: FloatArray
    raw_flux: FloatArray
    pixel_rms: FloatArray

    @property
    def n_source(self) -> int:
        """Number of sources."""
        return len(self.source_id)


def read_run_curves(connection: Connection, run: int) -> RunCurves:
    """Read every light curve of a run in the aperture that was chosen for its source.

    Raises
    ------
    NotFoundError
        If the run has no relative photometry or no good frame, or is packed.
    """
    sources = connection.execute(_SOURCES, {"run": run}).all()
    frames = [f for f in connection.execute(_FRAMES, {"run": run}) if f.is_good]
    if not sources or not frames:
        raise NotFoundError(
            f"run {run} has {len(sources)} light curves and {len(frames)} good frames; `tianyu "
            f"status {run}` says how it stands"
        )
    refuse_packed(connection, run)
    shape = (len(sources), len(frames))
    measured = {name: np.full(shape, np.nan) for name in _POINT_NUMBERS}
    row = {s.source_id: i for i, s in enumerate(sources)}
    column = {f.image_id: i for i, f in enumerate(frames)}
    aperture = np.array([s.default_aperture for s in sources])
    relative = _default_rows(
        connection, RelativeFlux, ("relative_flux", "relative_flux_error", "flags"), run,
        row, column, aperture,
    )  # fmt: skip
    raw = _default_rows(
        connection, Flux, ("flux", "background_rms", "flags"), run, row, column, aperture
    )
    spoiled = np.zeros(shape, dtype=np.bool_)
    for (i, j, values), names in ((relative, _POINT_NUMBERS[:2]), (raw, _POINT_NUMBERS[2:])):
        for k, name in enumerate(names):
            measured[name][i, j] = values[:, k]
        spoiled[i, j] |= (values[:, -1].astype(np.int64) & int(SPOILING)) != 0
    has_bjd = all(f.bjd_tdb_mid is not None for f in frames)
    unit = connection.scalar(select(Reduction.flux_unit).where(Reduction.run_id == run))
    return RunCurves(
        run=run,
        flux_unit=str(unit),
        has_bjd=has_bjd,
        source_id=np.array([s.source_id for s in sources]),
        name=[s.name or "" for s in sources],
        is_reference=np.array([bool(s.is_reference) for s in sources]),
        **{name: _numbers(sources, name) for name in _SOURCE_NUMBERS},
        time=_numbers(frames, "bjd_tdb_mid" if has_bjd else "jd_utc_mid"),
        image_id=np.array([f.image_id for f in frames]),
        **{name: _numbers(frames, name) for name in _FRAME_NUMBERS},
        **{name: np.where(spoiled, np.nan, values) for name, values in measured.items()},
    )


_SOURCE_NUMBERS = ("radius_pix", "mean_flux", "x", "y", "ra_deg", "dec_deg", "neighbour_pix")
_POINT_NUMBERS = ("flux", "error", "raw_flux", "pixel_rms")
_FRAME_NUMBERS = ("airmass", "fwhm_pix", "sky_level", "sky_rms", "exposure_s")


def _numbers(rows: Any, name: str) -> FloatArray:
    # None becomes NaN.
    return np.array([getattr(row, name) for row in rows], dtype=np.float64)


def _default_rows(
    connection: Connection,
    table: Any,
    names: tuple[str, ...],
    run: int,
    row: dict[int, int],
    column: dict[int, int],
    aperture: IntArray,
) -> tuple[IntArray, IntArray, FloatArray]:
    """Return row, column and values of what was measured in the default apertures."""
    group, *others = (
        table.__table__.c[name] for name in ("source_id", "image_id", "aperture", *names)
    )
    parts = [np.empty((0, 3 + len(names)))]
    # One aperture at a time: rows are thrown away where they lie, not after they have come.
    for number in np.unique(aperture):
        chosen = select(SourcePhotometry.source_id).where(
            SourcePhotometry.run_id == run, SourcePhotometry.default_aperture == int(number)
        )
        where = (table.run_id == run) & (table.aperture == int(number))
        where &= table.source_id.in_(chosen)
        parts.append(read_numbers(connection, [group], others, where))
    found = np.concatenate(parts)
    i = np.array([row.get(int(s), -1) for s in found[:, 0]], dtype=np.int64)
    j = np.array([column.get(int(f), -1) for f in found[:, 1]], dtype=np.int64)
    kept = (i >= 0) & (j >= 0)
    return i[kept], j[kept], found[kept, 3:]
