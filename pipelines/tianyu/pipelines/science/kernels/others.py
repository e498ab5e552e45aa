"""Each star against the others: zero points without the star itself, and the scatter about them."""

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.medians import COMPILED as MEDIANS
from tianyu.pipelines.science.kernels.medians import median_deviation
from tianyu.pipelines.science.scatter import MAD_TO_SIGMA
from tianyu.pipelines.science.surface import MAX_LEVERAGE, Arithmetic


@compiled
def weigh(
    f: FloatArray, variance: FloatArray, usable: BoolArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weigh members where they are usable.

    The reference is :func:`~tianyu.pipelines.science.surface.weigh`, whose parameters and results
    these are.
    """
    n_member, n_frame = f.shape
    w, light, noise = np.empty(f.shape), np.empty(f.shape), np.empty(f.shape)
    own = np.empty(n_frame)
    for i in range(n_member):
        own[:] = variance[i]
        for t in range(n_frame):
            here = weight[i] if usable[i, t] else 0.0
            w[i, t] = here
            light[i, t] = here * f[i, t]
            noise[i, t] = here * here * own[t]
    return w, light, noise


@compiled
def leave_out(
    value: FloatArray,
    spread: FloatArray,
    member: IntArray,
    leverage: FloatArray,
    weight: FloatArray,
    f: FloatArray,
    variance: FloatArray,
) -> None:
    """Take each member out of the surface at its own place.

    The reference is :func:`~tianyu.pipelines.science.surface.leave_out`, whose parameters these
    are.
    """
    n_frame = value.shape[1]
    own = np.empty(n_frame)
    for i in range(member.size):
        own[:] = variance[i]
        star = member[i]
        for t in range(n_frame):
            h = leverage[i, t] * weight[i, t]
            rest = 1.0 - h if h < MAX_LEVERAGE else np.nan
            others = spread[star, t] - h * h * own[t]
            value[star, t] = (value[star, t] - h * f[i, t]) / rest
            spread[star, t] = (0.0 if others < 0.0 else others) / (rest * rest)
    is_covered = np.zeros(n_frame, np.bool_)
    for i in range(member.size):
        for t in range(n_frame):
            is_covered[t] |= weight[i, t] > 0.0
    for star in range(value.shape[0]):
        for t in range(n_frame):
            is_known = is_covered[t] & (value[star, t] > 0.0)
            value[star, t] = value[star, t] if is_known else np.nan
            spread[star, t] = spread[star, t] if is_known else np.nan


@compiled
def ratio_deviations(f: FloatArray, value: FloatArray, usable: BoolArray) -> FloatArray:
    """Return the median absolute deviation of ``f / value`` of each star, where usable."""
    n_row, n = f.shape
    deviation, ratio = np.empty(n_row), np.empty(n)
    kept, here, there = np.empty(n), np.empty(n), np.empty(n)
    for row in range(n_row):
        for t in range(n):
            ratio[t] = f[row, t] / value[row, t] if usable[row, t] else np.nan
        deviation[row] = median_deviation(ratio, kept, here, there)
    return deviation


def _mad_of_ratio(f: FloatArray, value: FloatArray, usable: BoolArray) -> FloatArray:
    return MAD_TO_SIGMA * ratio_deviations(f, value, usable)


COMPILED = Arithmetic(MEDIANS.median, MEDIANS.mad, weigh, leave_out, _mad_of_ratio)
