"""Straight lines through points, by votes in angle and distance.

References
----------
R. O. Duda, P. E. Hart, 1972, Communications of the ACM 15, 11.
"""

import math
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray

MAX_CHANCE = 1e-6
"""A line that chance makes more often, anywhere in a frame, is not proposed."""

BESIDE_CELLS = 8
"""Votes this near to a line that was proposed, in angle and distance, are of the same one."""


@dataclass(frozen=True)
class Line:
    """The points with ``x cos θ + y sin θ = distance``; pixels, θ in [0, π)."""

    angle: float
    distance: float


def propose_lines(x: FloatArray, y: FloatArray, n_places: int, radius: float) -> list[Line]:
    """Propose the lines that hold more points than chance puts there, most significant first.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Whole-numbered points about the centre of the field.
    n_places : int
        Places where a point could be.
    radius : float
        Of the circle that holds the field.

    Returns
    -------
    list of Line
        Empty where chance explains all.

    Notes
    -----
    A line of cell width 2 and chord 2√(R² − ρ²) meets 4√(R² − ρ²) places at most, of which the
    fraction n/n_places holds a point by chance; more votes than that are Poisson-improbable.

    Examples
    --------
    >>> along = np.arange(-30.0, 31.0)
    >>> line = propose_lines(along, np.full(61, 7.0), 3600, 45.0)[0]
    >>> bool(abs(np.degrees(line.angle) - 90.0) < 2.0), round(line.distance)
    (True, 7)
    """
    if not len(x):
        return []
    from scipy.special import pdtrc  # noqa: PLC0415 - slow to import; most runs seek no trails

    angle = np.asarray(np.arange(0.0, math.pi, 1.0 / radius), dtype=np.float64)
    half = math.ceil(radius) + 2
    cell = np.floor(np.outer(np.cos(angle), x) + np.outer(np.sin(angle), y)).astype(np.int64)
    width = 2 * half
    cell += half + width * np.arange(angle.size)[:, np.newaxis]
    votes = np.bincount(cell.ravel(), minlength=width * angle.size).reshape(angle.size, width)
    votes = votes[:, :-1] + votes[:, 1:]  # two cells: a line between them loses none
    distance = np.arange(1.0 - half, votes.shape[1] + 1.0 - half, dtype=np.float64)
    expected = 4.0 * np.sqrt(np.maximum(radius**2 - distance**2, 1.0)) * len(x) / n_places
    chance = np.full(votes.shape, np.inf)
    # Most cells are far from it, and the Poisson sum is the dear part.
    many = votes > expected + 3.0 * np.sqrt(expected) + 2.0
    expected = np.broadcast_to(expected, votes.shape)
    chance[many] = votes.size * pdtrc(votes[many] - 1.0, expected[many])
    return _peaks(chance, angle, distance)


def _peaks(chance: FloatArray, angle: FloatArray, distance: FloatArray) -> list[Line]:
    """Lines in the order of their chance, those beside a better one left out; in place."""
    lines = []
    while chance.min() < MAX_CHANCE:
        k, j = np.unravel_index(int(np.argmin(chance)), chance.shape)
        lines.append(Line(float(angle[k]), float(distance[j])))
        near = np.arange(-BESIDE_CELLS, BESIDE_CELLS + 1)
        # Where the angle comes round, the distance changes its sign.
        for shift in near:
            row, turned = (int(k) + int(shift)) % angle.size, not 0 <= k + shift < angle.size
            middle = chance.shape[1] - 1 - int(j) if turned else int(j)
            chance[row, max(0, middle - BESIDE_CELLS) : middle + BESIDE_CELLS + 1] = np.inf
    return lines
