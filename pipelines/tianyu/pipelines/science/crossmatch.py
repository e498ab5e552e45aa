"""Catalogue stars near sources: proper motion to the epoch, and the nearest few."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from tianyu.pipelines.science.arrays import FloatArray, IntArray

MAS_TO_RAD = np.pi / (180.0 * 3600.0 * 1000.0)


def unit_vectors(ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
    """Return directions as vectors of length one, shape (n, 3)."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.column_stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])


def move_to_epoch(
    ra_deg: FloatArray,
    dec_deg: FloatArray,
    pm_ra_mas: FloatArray,
    pm_dec_mas: FloatArray,
    years: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Move stars along their proper motion, on the sphere and so at the poles too.

    Parameters
    ----------
    ra_deg, dec_deg : ndarray, shape (n,)
        Positions at the catalogue's epoch, degrees.
    pm_ra_mas, pm_dec_mas : ndarray, shape (n,)
        Towards east (with the factor cos δ) and north, mas per year.
    years : ndarray, shape (n,)
        From the catalogue's epoch, Julian years.

    Returns
    -------
    ra_deg, dec_deg : ndarray, shape (n,)
        Radial velocity and parallax are left out: below 0.1″ for all but a handful of stars.

    Examples
    --------
    Barnard's star moves by 10.4″ a year, north:

    >>> ra, dec = move_to_epoch(*(np.array([v]) for v in (269.45, 4.69, -801.6, 10362.4, 10.0)))
    >>> round(float(dec[0] - 4.69) * 3600.0, 1)
    103.6
    """
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    zero = np.zeros_like(ra)
    east = np.column_stack([-np.sin(ra), np.cos(ra), zero])
    north = np.column_stack([-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec)])
    moved = unit_vectors(ra_deg, dec_deg)
    moved = moved + (pm_ra_mas * years * MAS_TO_RAD)[:, None] * east
    moved = moved + (pm_dec_mas * years * MAS_TO_RAD)[:, None] * north
    x, y, z = moved.T
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))


@dataclass(frozen=True)
class Neighbours:
    """Pairs of source and catalogue star; indices into what was given.

    Attributes
    ----------
    source, star : ndarray of int, shape (n,)
    number : ndarray of int, shape (n,)
        1 is the nearest of its source.
    separation_arcsec : ndarray, shape (n,)
    """

    source: IntArray
    star: IntArray
    number: IntArray
    separation_arcsec: FloatArray


def nearest_stars(
    source_ra_deg: FloatArray,
    source_dec_deg: FloatArray,
    star_ra_deg: FloatArray,
    star_dec_deg: FloatArray,
    *,
    match_arcsec: float,
    search_arcsec: float,
    k: int = 3,
) -> Neighbours:
    """Return the nearest catalogue stars of every source that has a counterpart.

    A source whose nearest star is beyond `match_arcsec` has none, and no neighbours either. Of a
    star that is the nearest of two sources, the nearer source alone is the counterpart.

    Parameters
    ----------
    source_ra_deg, source_dec_deg : ndarray, shape (n,)
        Degrees; not finite: no neighbours.
    star_ra_deg, star_dec_deg : ndarray, shape (m,)
        At the epoch of the sources, degrees.
    match_arcsec, search_arcsec : float
        Largest separation of the first and of the others.
    k : int
        Stars per source.
    """
    known = np.flatnonzero(np.isfinite(source_ra_deg) & np.isfinite(source_dec_deg))
    n_star = len(star_ra_deg)
    if not known.size or not n_star:
        none = np.empty(0, np.int64)
        return Neighbours(none, none, none, np.empty(0))
    tree = cKDTree(unit_vectors(star_ra_deg, star_dec_deg))
    reach = 2.0 * np.sin(np.radians(max(match_arcsec, search_arcsec) / 3600.0) / 2.0)
    vectors = unit_vectors(source_ra_deg[known], source_dec_deg[known])
    chord, star = tree.query(vectors, k=np.arange(1, k + 1), distance_upper_bound=reach)
    chord, star = np.asarray(chord), np.asarray(star)
    found = np.isfinite(chord)
    half = np.arcsin(np.clip(np.where(found, chord, 0.0) / 2.0, 0.0, 1.0))
    separation = np.where(found, np.degrees(2.0 * half) * 3600.0, np.inf)
    has_counterpart = separation[:, 0] <= match_arcsec
    # The first of each star in the order of distance.
    order = np.argsort(separation[:, 0], kind="stable")
    first = np.zeros(len(known), dtype=bool)
    first[order[np.unique(star[order, 0], return_index=True)[1]]] = True
    keep = found & (has_counterpart & first)[:, None]
    row, number = np.nonzero(keep)
    return Neighbours(known[row], star[row, number], number + 1, separation[row, number])
