"""Recognising the sources of a sky that earlier templates have found."""

import numpy as np
from sqlalchemy import Connection, select

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.align import align
from tianyu.pipelines.science.arrays import FloatArray, IntArray
from tianyu.pipelines.science.matching import match_positions
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.wcs import LinearWcs, standard_coordinates
from tianyu.schema.tables import Sky, SourcePosition

MATCH_ARCSEC = 1.5
MATCH_PIX = 1.0
"""Within max(1.5″, 1 px) two positions are one source: centroids of bright stars agree to a
tenth of this, and real pairs that close are not separated by the detection anyway."""


def adopt_known_sources(
    connection: Connection,
    sky_id: int,
    x: FloatArray,
    y: FloatArray,
    flux: FloatArray,
    wcs: LinearWcs | None,
) -> list[int | None]:
    """Return, per new position, the id of the known source it is; None for a new source.

    Compared in the sky plane where both templates have coordinates, else in pixels after
    aligning the two templates by their stars.

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
    nobody: list[int | None] = [None] * len(x)
    query = (
        select(SourcePosition.source_id, SourcePosition.x, SourcePosition.y, SourcePosition.flux)
        .add_columns(SourcePosition.ra_deg, SourcePosition.dec_deg)
        .join(Sky, Sky.template_image_id == SourcePosition.template_image_id)
        .where(Sky.id == sky_id)
        .order_by(SourcePosition.source_id)
    )
    rows = connection.execute(query).all()
    if not rows:
        return nobody
    known = np.array(
        [[r.x, r.y, _number(r.flux), _number(r.ra_deg), _number(r.dec_deg)] for r in rows]
    )
    on_sky = np.isfinite(known[:, 3:5]).all(axis=1)
    if wcs is not None and on_sky.all():
        ra, dec = wcs.to_sky(x, y)
        match = _match_on_sky(known[:, 3], known[:, 4], ra, dec, wcs.pixel_scale_arcsec)
    else:
        moved = _bring_over(known, x, y, flux)
        if moved is None:
            return nobody
        match = match_positions(moved, np.column_stack([x, y]), MATCH_PIX)
    return [None if j < 0 else int(rows[j].source_id) for j in match]


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
    size = int(np.nanmax(x)) + 1, int(np.nanmax(y)) + 1
    try:
        transform = align(before, after, (size[1], size[0])).transform
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


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
