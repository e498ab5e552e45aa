"""Votes of pairs of stars for a shift: the histogram without its large intermediate arrays."""

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.kernels.jit import compiled


@compiled
def highest_block(dx: FloatArray, dy: FloatArray, bin_pix: float) -> tuple[float, float, int, int]:
    """Find the 2 × 2 bins with most votes; the reference is ``shift._highest_block``.

    Parameters
    ----------
    dx, dy : ndarray, shape (n,)
        Differences that vote, pixels; at least one.
    bin_pix : float
        Width of a bin, pixels.

    Returns
    -------
    x, y : float
        Centre of the block.
    votes, n_blocks : int
        Its votes, and how many blocks there are.
    """
    left, bottom = dx.min() - bin_pix, dy.min() - bin_pix  # an empty bin before and after
    nx = int((dx.max() - left) / bin_pix) + 2
    ny = int((dy.max() - bottom) / bin_pix) + 2
    votes = np.zeros((ny, nx), np.int32)
    for k in range(dx.size):
        votes[int((dy[k] - bottom) / bin_pix), int((dx[k] - left) / bin_pix)] += 1
    most, best_j, best_i = -1, 0, 0
    for j in range(ny - 1):
        for i in range(nx - 1):
            block = votes[j, i] + votes[j, i + 1] + votes[j + 1, i] + votes[j + 1, i + 1]
            if block > most:
                most, best_j, best_i = block, j, i
    x, y = left + bin_pix * (best_i + 1), bottom + bin_pix * (best_j + 1)
    return x, y, most, (ny - 1) * (nx - 1)
