"""Votes of pairs of stars for a shift, counted pair by pair."""

import math

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.shift import (
    MAX_BINS_PER_AXIS,
    REFINE_HALF_WIDTH_BINS,
    Point,
    refined,
)


def tally(
    reference_xy: FloatArray, frame_xy: FloatArray, max_shift_pix: float, bin_pix: float
) -> tuple[int, float, Point, int, int, Point]:
    """Let all pairs of stars vote for the shift that would lay one on the other.

    Parameters and what is returned are those of :func:`~tianyu.pipelines.science.shift.tally`.
    """
    dx, dy = _differences(reference_xy, frame_xy, max_shift_pix)
    if not dx.size:
        return 0, bin_pix, (math.nan, math.nan), 0, 0, (math.nan, math.nan)
    bin_pix = max(bin_pix, float(max(np.ptp(dx), np.ptp(dy))) / MAX_BINS_PER_AXIS)
    peak, n_votes, n_blocks = _highest_block(dx, dy, bin_pix)
    near = _pairs_near(dx, dy, peak, REFINE_HALF_WIDTH_BINS[0] * bin_pix)
    return dx.size, bin_pix, peak, n_votes, n_blocks, refined(*near, peak, bin_pix)


@compiled
def _differences(
    reference_xy: FloatArray, frame_xy: FloatArray, max_shift_pix: float
) -> tuple[FloatArray, FloatArray]:
    """Return the shifts of all pairs, as far as they are not too large."""
    dx, dy = np.empty((2, len(reference_xy) * len(frame_xy)))
    n = 0
    for i in range(len(frame_xy)):
        for j in range(len(reference_xy)):
            dx[n], dy[n] = (
                frame_xy[i, 0] - reference_xy[j, 0],
                frame_xy[i, 1] - reference_xy[j, 1],
            )
            n += 1 if max(abs(dx[n]), abs(dy[n])) <= max_shift_pix else 0
    return dx[:n], dy[:n]


@compiled
def _highest_block(
    dx: FloatArray, dy: FloatArray, bin_pix: float
) -> tuple[tuple[float, float], int, int]:
    """Return the centre of the 2 × 2 bins with most votes, their votes, and how many there are."""
    left, bottom = dx.min() - bin_pix, dy.min() - bin_pix  # an empty bin before and after
    nx = int((dx.max() - left) / bin_pix) + 2
    ny = int((dy.max() - bottom) / bin_pix) + 2
    places, votes = np.empty(dx.size, np.int64), np.zeros(nx * ny, np.int32)
    for k in range(dx.size):
        places[k] = int((dy[k] - bottom) / bin_pix) * nx + int((dx[k] - left) / bin_pix)
        votes[places[k]] += np.int32(1)
    most = 0
    for place in places:
        most = max(most, votes[place])
    highest, first = 0, nx * ny
    for place in places:
        # Four bins of a block hold a quarter of its votes in one of them, at least.
        if 4 * votes[place] < most:
            continue
        for corner in (place - nx - 1, place - nx, place - 1, place):
            n = votes[corner] + votes[corner + 1] + votes[corner + nx] + votes[corner + nx + 1]
            # Of equal ones the first, as they lie.
            if n > highest or (n == highest and corner < first):
                highest, first = n, corner
    centre = (left + bin_pix * (first % nx + 1), bottom + bin_pix * (first // nx + 1))
    return centre, highest, (nx - 1) * (ny - 1)


@compiled
def _pairs_near(
    dx: FloatArray, dy: FloatArray, peak: Point, reach_pix: float
) -> tuple[FloatArray, FloatArray]:
    """Return the shifts that differ from the peak by no more than that on either axis."""
    near, n = np.empty((2, dx.size)), 0
    for k in range(dx.size):
        near[0, n], near[1, n] = dx[k], dy[k]
        n += 1 if max(abs(dx[k] - peak[0]), abs(dy[k] - peak[1])) <= reach_pix else 0
    return near[0, :n], near[1, :n]
