"""Which sources are the same, and how far apart they stand: nearest neighbours on a plane."""

import numpy as np
from scipy.spatial import cKDTree

from tianyu.pipelines.science.arrays import FloatArray, IntArray

UNMATCHED = -1
"""Index of a new position that is none of the known ones."""


def match_positions(known: FloatArray, new: FloatArray, radius: float) -> IntArray:
    """Find the known position that each new position is, one to one.

    Two positions are one source when each is the other's nearest and they are no further
    apart than the radius. So one known source is never given to two new ones, and the answer
    does not depend on the order of either list, except between exactly equal distances.

    Parameters
    ----------
    known : FloatArray
        Positions on a plane, shape (n, 2); a position that is not finite matches nothing.
    new : FloatArray
        Positions in the same plane and unit, shape (m, 2).
    radius : float
        Largest separation of a pair, inclusive, in the unit of the positions.

    Returns
    -------
    IntArray
        Shape (m,): index into `known`, or −1.

    Raises
    ------
    ValueError
        If an array is not of shape (·, 2), or the radius is negative or not a number.

    Examples
    --------
    >>> match_positions(np.array([[0.0, 0.0], [9.0, 9.0]]), np.array([[9.1, 9.0], [5.0, 5.0]]), 1.0)
    array([ 1, -1])
    """
    known, new = _positions(known, "known"), _positions(new, "new")
    if not radius >= 0.0:
        raise ValueError(f"the matching radius is {radius}; it must be zero or positive")
    matches = np.full(len(new), UNMATCHED, dtype=np.int64)
    known_index = np.flatnonzero(np.isfinite(known).all(axis=1))
    new_index = np.flatnonzero(np.isfinite(new).all(axis=1))
    if known_index.size == 0 or new_index.size == 0:
        return matches
    known_tree, new_tree = cKDTree(known[known_index]), cKDTree(new[new_index])
    distance, nearest_known = map(np.asarray, known_tree.query(new[new_index]))
    nearest_new = np.asarray(new_tree.query(known[known_index])[1])
    mutual = nearest_new[nearest_known] == np.arange(new_index.size)
    paired = mutual & (distance <= radius)
    matches[new_index[paired]] = known_index[nearest_known[paired]]
    return matches


def nearest_neighbours(xy: FloatArray, k: int) -> FloatArray:
    """Measure how far every source is from its k nearest others: isolation and blending.

    Parameters
    ----------
    xy : FloatArray
        Positions on a plane, shape (n, 2).
    k : int
        Number of neighbours wanted.

    Returns
    -------
    FloatArray
        Shape (n, k), rising along the second axis, in the unit of the positions. Infinite
        where there are fewer than k others; NaN for a position that is not finite.

    Raises
    ------
    ValueError
        If the array is not of shape (n, 2) or k is not positive.

    Examples
    --------
    >>> nearest_neighbours(np.array([[0.0, 0.0], [3.0, 4.0]]), k=2)
    array([[ 5., inf],
           [ 5., inf]])
    """
    xy = _positions(xy, "xy")
    if k < 1:
        raise ValueError(f"{k} neighbours were asked for; ask for at least one")
    distances = np.full((len(xy), k), np.nan)
    finite = np.isfinite(xy).all(axis=1)
    if finite.any():
        # The first neighbour of every point is the point itself, at distance zero.
        to_self_and_others = np.asarray(cKDTree(xy[finite]).query(xy[finite], k=k + 1)[0])
        distances[finite] = to_self_and_others[:, 1:]
    return distances


def _positions(xy: FloatArray, name: str) -> FloatArray:
    """Check the shape of an array of positions and see it in double precision."""
    xy = np.asarray(xy, dtype=np.float64)
    if xy.size == 0:
        return xy.reshape(0, 2)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ValueError(f"{name} has the shape {xy.shape}; give one (x, y) per row")
    return xy
