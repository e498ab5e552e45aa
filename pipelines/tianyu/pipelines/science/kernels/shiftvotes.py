"""Votes of pairs of stars for a shift: counted and refined without arrays of all pairs in turns."""

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.shift import MAX_BINS_PER_AXIS, REFINE_HALF_WIDTH_BINS


@compiled
def tally(
    reference_xy: FloatArray, frame_xy: FloatArray, max_shift_pix: float, bin_pix: float
) -> tuple[int, float, tuple[float, float], int, int, tuple[float, float]]:
    """Let all pairs of stars vote for the shift that would lay one on the other.

    Parameters and what is returned are those of :func:`~tianyu.pipelines.science.shift.tally`.
    """
    dx, dy = _differences(reference_xy, frame_xy, max_shift_pix)
    if dx.size == 0:
        return 0, bin_pix, (np.nan, np.nan), 0, 0, (np.nan, np.nan)
    extent = max(dx.max() - dx.min(), dy.max() - dy.min())
    bin_pix = max(bin_pix, extent / MAX_BINS_PER_AXIS)
    peak, n_votes, n_blocks = _highest_block(dx, dy, bin_pix)
    return dx.size, bin_pix, peak, n_votes, n_blocks, _refine(dx, dy, peak, bin_pix)


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
def _refine(
    dx: FloatArray, dy: FloatArray, peak: tuple[float, float], bin_pix: float
) -> tuple[float, float]:
    """Return the mean of the pairs about the peak, as the plain function does."""
    for bins in REFINE_HALF_WIDTH_BINS:
        reach = bins * bin_pix
        near = (np.abs(dx - peak[0]) <= reach) & (np.abs(dy - peak[1]) <= reach)
        if not near.any():
            break
        dx, dy = dx[near], dy[near]
        peak = (np.median(dx), np.median(dy))
    return dx.mean(), dy.mean()
