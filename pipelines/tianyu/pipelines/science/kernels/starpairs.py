"""Stars of two lists paired, and maps fitted to the pairs: star by star, without a tree."""

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.mapfit import (
    CLIP_ROUNDS,
    CLIP_SIGMA,
    MIN_STARS_AFFINE,
    RAYLEIGH_MEDIAN,
)
from tianyu.pipelines.science.pairs import MIN_STARS

_SINGULAR = 1e-10
"""Of the product of two spreads: with a smaller determinant the stars lie on one line."""


@compiled
def nearest_pairs(
    predicted_x: FloatArray,
    predicted_y: FloatArray,
    frame_x: FloatArray,
    frame_y: FloatArray,
    radius_pix: float,
) -> tuple[IntArray, IntArray]:
    """Pair stars with the nearest ones of a frame; each is in one pair at most.

    Parameters
    ----------
    predicted_x, predicted_y : ndarray, shape (n,)
        Where the stars of the reference ought to be in the frame, pixels.
    frame_x, frame_y : ndarray, shape (m,)
    radius_pix : float
        Pairs are closer than this.

    Returns
    -------
    i, j : ndarray of int64
        Indices into the reference's list and, rising, into the frame's.
    """
    best = np.full(frame_x.size, radius_pix**2)
    partner = np.full(frame_x.size, -1)
    for k in range(predicted_x.size):
        nearest, least = -1, radius_pix**2
        for star in range(frame_x.size):
            from_x, from_y = frame_x[star] - predicted_x[k], frame_y[star] - predicted_y[k]
            distance2 = from_x * from_x + from_y * from_y
            if distance2 < least:
                nearest, least = star, distance2
        if nearest >= 0 and least < best[nearest]:
            best[nearest], partner[nearest] = least, k
    pairs, n = np.empty((2, frame_x.size), np.int64), 0
    for star in range(frame_x.size):
        if partner[star] >= 0:
            pairs[0, n], pairs[1, n] = partner[star], star
            n += 1
    return pairs[0, :n], pairs[1, :n]


@compiled
def fit_clipped(
    x: FloatArray,
    y: FloatArray,
    target_x: FloatArray,
    target_y: FloatArray,
    weight: FloatArray,
    affine: bool,
    clip: bool,
) -> tuple[bool, FloatArray, BoolArray, float]:
    """Fit a map by weighted least squares, repeated without the stars that do not belong.

    Parameters
    ----------
    x, y, target_x, target_y, weight : ndarray, shape (n,)
        Positions of pairs in the reference and in the frame, pixels, and their weights, pix⁻².
    affine : bool
        Six parameters; else the four of a similarity.
    clip : bool
        Whether to leave out stars.

    Returns
    -------
    ok : bool
        False where the stars do not tell a map; the rest then says nothing.
    coefficients : ndarray, shape (6,)
        a, b, c, d, tx and ty of the map.
    keep : ndarray of bool, shape (n,)
    sum2 : float
        Sum of the squares of the weighted residuals of those.
    """
    minimum = MIN_STARS_AFFINE if affine else MIN_STARS
    keep, root = np.ones(x.size, np.bool_), np.sqrt(weight)
    residual, map_, ok = np.empty(x.size), np.empty(6), True
    for _ in range(CLIP_ROUNDS if clip else 1):
        ok = _solve(x, y, target_x, target_y, weight, keep, affine, map_)
        if not ok:
            break
        for k in range(x.size):
            off_x = map_[0] * x[k] + map_[1] * y[k] + map_[4] - target_x[k]
            off_y = map_[2] * x[k] + map_[3] * y[k] + map_[5] - target_y[k]
            residual[k] = root[k] * np.hypot(off_x, off_y)
        # In units of the stated errors, which are believed unless the stars scatter by more.
        scatter = max(1.0, np.median(residual[keep]) / RAYLEIGH_MEDIAN)
        better = residual <= CLIP_SIGMA * scatter
        if not clip or better.sum() < minimum or np.all(better == keep):
            break
        keep = better
    sum2 = 0.0
    for k in range(x.size):
        sum2 += residual[k] ** 2 if keep[k] else 0.0
    return ok, map_, keep, sum2


@compiled
def _solve(
    x: FloatArray,
    y: FloatArray,
    target_x: FloatArray,
    target_y: FloatArray,
    weight: FloatArray,
    keep: BoolArray,
    affine: bool,
    map_: FloatArray,
) -> bool:
    """Write the map of the pairs that are kept, or return False where they do not tell one."""
    total, mean = 0.0, np.zeros(4)
    for k in range(x.size):
        if keep[k]:
            total += weight[k]
            mean[0] += weight[k] * x[k]
            mean[1] += weight[k] * y[k]
            mean[2] += weight[k] * target_x[k]
            mean[3] += weight[k] * target_y[k]
    mean /= total
    xx, xy, yy = 0.0, 0.0, 0.0
    x_u, y_u, x_v, y_v = 0.0, 0.0, 0.0, 0.0
    for k in range(x.size):
        if keep[k]:
            from_x, from_y = x[k] - mean[0], y[k] - mean[1]
            u, v = weight[k] * (target_x[k] - mean[2]), weight[k] * (target_y[k] - mean[3])
            xx += weight[k] * from_x * from_x
            xy += weight[k] * from_x * from_y
            yy += weight[k] * from_y * from_y
            x_u += from_x * u
            y_u += from_y * u
            x_v += from_x * v
            y_v += from_y * v
    if affine:
        determinant = xx * yy - xy * xy
        if not determinant > _SINGULAR * xx * yy:
            return False
        map_[0], map_[1] = (yy * x_u - xy * y_u) / determinant, (xx * y_u - xy * x_u) / determinant
        map_[2], map_[3] = (yy * x_v - xy * y_v) / determinant, (xx * y_v - xy * x_v) / determinant
    else:
        if not xx + yy > 0.0:
            return False
        map_[0], map_[2] = (x_u + y_v) / (xx + yy), (x_v - y_u) / (xx + yy)
        map_[1], map_[3] = -map_[2], map_[0]
    map_[4] = mean[2] - map_[0] * mean[0] - map_[1] * mean[1]
    map_[5] = mean[3] - map_[2] * mean[0] - map_[3] * mean[1]
    return True
