"""Recognising the sources of a sky that earlier templates have found."""

import numpy as np
from sqlalchemy import Connection, func, or_, select

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.align import align
from tianyu.pipelines.science.arrays import FloatArray, IntArray
from tianyu.pipelines.science.matching import UNMATCHED, match_positions
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.wcs import LinearWcs, standard_coordinates
from tianyu.pipelines.targets import POSITION_KIND
from tianyu.schema.tables import Observation, Reduction, Sky, Source, SourcePosition, Target

MATCH_ARCSEC = 1.5
MATCH_PIX = 1.0
"""Within max(1.5″, 1 px) two positions are one source: centroids of bright stars agree to a
tenth of this, and real pairs that close are not separated by the detection anyway."""

NEWEST_TEMPLATES = 4
"""Templates that are compared beside the sky's own: each costs an alignment under its lock."""


def adopt_known_sources(
    connection: Connection,
    sky_id: int,
    x: FloatArray,
    y: FloatArray,
    flux: FloatArray,
    wcs: LinearWcs | None,
) -> list[int | None]:
    """Return, per new position, the id of the known source it is; None for a new source.

    Compared with the sky's own template and then, for what is not on it, with the newest ones:
    a star that rose above the noise on the second night keeps its id on the third. In the sky
    plane where both templates have coordinates, else in pixels after aligning the two
    templates by their stars.

    Parameters
    ----------
    connection : Connection
        Holding the lock on the sky's row.
    sky_id : int
    x, y : ndarray, shape (n,)
        New positions, pixels.
    flux : ndarray, shape (n,)
        Brightness, for the alignment; NaN for forced positions.
    wcs : LinearWcs or None
        Of the new template.
    """
    ids: list[int | None] = [None] * len(x)
    for template_id in _templates(connection, sky_id):
        adopted = {source_id for source_id in ids if source_id is not None}
        if len(adopted) == len(ids):
            break
        source_ids, known = _positions(connection, template_id)
        match = _match(known, x, y, flux, wcs)
        for i, j in enumerate(match):
            if j >= 0 and ids[i] is None and source_ids[j] not in adopted:
                ids[i] = source_ids[j]
    return ids


def _templates(connection: Connection, sky_id: int) -> list[int]:
    """Return the images of the sky's own template and of its newest ones."""
    first = connection.scalar(select(Sky.template_image_id).where(Sky.id == sky_id))
    query = (
        select(Reduction.template_image_id)
        .join(Observation, Observation.id == Reduction.observation_id)
        .where(Observation.sky_id == sky_id, Reduction.template_image_id.is_not(None))
        # Nights that were measured at an earlier template share it.
        .group_by(Reduction.template_image_id)
        .order_by(func.max(Reduction.run_id).desc())
        .limit(NEWEST_TEMPLATES)
    )
    newest = list(connection.scalars(query))
    return [int(t) for t in dict.fromkeys([first, *newest]) if t is not None]


def _positions(connection: Connection, template_id: int) -> tuple[list[int], FloatArray]:
    """Return the sources of a template and their x, y, flux, ra, dec, shape (n, 5)."""
    query = (
        select(
            SourcePosition.source_id,
            SourcePosition.x,
            SourcePosition.y,
            SourcePosition.flux,
            SourcePosition.ra_deg,
            SourcePosition.dec_deg,
        )
        .join(Source, Source.id == SourcePosition.source_id)
        .outerjoin(Target, Target.id == Source.target_id)
        .where(SourcePosition.template_image_id == template_id)
        # A place that a person gave is known by its name; what is found there is another source.
        .where(or_(Target.kind.is_(None), Target.kind != POSITION_KIND))
        .order_by(SourcePosition.source_id)
    )
    rows = connection.execute(query).all()
    # None becomes NaN on the way to float.
    table = np.array([tuple(row)[1:] for row in rows], dtype=np.float64).reshape(-1, 5)
    return [int(row.source_id) for row in rows], table


def _match(
    known: FloatArray, x: FloatArray, y: FloatArray, flux: FloatArray, wcs: LinearWcs | None
) -> IntArray:
    """Return the index of the known position that each new one is, −1 for none."""
    if len(known) and wcs is not None and np.isfinite(known[:, 3:5]).all():
        ra, dec = wcs.to_sky(x, y)
        return _match_on_sky(known[:, 3], known[:, 4], ra, dec, wcs.pixel_scale_arcsec)
    moved = _bring_over(known, x, y, flux) if len(known) else None
    if moved is None:
        return np.full(len(x), UNMATCHED)
    return match_positions(moved, np.column_stack([x, y]), MATCH_PIX)


def _match_on_sky(
    known_ra: FloatArray, known_dec: FloatArray, ra: FloatArray, dec: FloatArray, scale: float
) -> IntArray:
    centre = float(known_ra[0]), float(known_dec[0])
    known = np.column_stack(standard_coordinates(known_ra, known_dec, *centre))
    new = np.column_stack(standard_coordinates(ra, dec, *centre))
    radius_deg = max(MATCH_ARCSEC, MATCH_PIX * scale) / 3600.0
    return match_positions(known, new, radius_deg)


def _bring_over(
    known: FloatArray, x: FloatArray, y: FloatArray, flux: FloatArray
) -> FloatArray | None:
    """Return the known positions in the pixels of the new template; None if they do not fit."""
    before = _star_list(known[:, 0], known[:, 1], known[:, 2])
    after = _star_list(x, y, flux)
    # Of the detected ones: a forced position may lie far outside.
    shape = int(after.y.max(initial=0.0)) + 1, int(after.x.max(initial=0.0)) + 1
    try:
        transform = align(before, after, shape).transform
    except UnusableDataError:
        # Another pointing or scale altogether: then nothing can be recognised by pixels.
        return None
    return np.column_stack(transform.apply(known[:, 0], known[:, 1]))


def _star_list(x: FloatArray, y: FloatArray, flux: FloatArray) -> StarList:
    order = np.argsort(-flux, kind="stable")
    order = order[np.isfinite(flux[order])]
    ones = np.ones(len(order))
    return StarList(
        x=x[order],
        y=y[order],
        flux=flux[order],
        peak=flux[order],
        fwhm_pix=ones,
        elongation=ones,
        error_pix=0.1 * ones,
        n_detected=len(order),
    )
