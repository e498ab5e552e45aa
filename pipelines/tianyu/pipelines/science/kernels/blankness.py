"""The extremes of a raw frame, and how many pixels are at the upper one, in one sweep."""

from tianyu.pipelines.science.arrays import AnyArray
from tianyu.pipelines.science.kernels.jit import compiled


@compiled
def extremes(raw: AnyArray) -> tuple[float, float, int]:
    """Return the least and the highest count of a frame, and the number of pixels at the latter.

    Parameters
    ----------
    raw : ndarray of integers, shape (ny, nx)
        C-contiguous.

    Returns
    -------
    lowest, highest : float
    n_highest : int
    """
    lowest = highest = raw[0, 0]
    n_highest = 0
    for y in range(raw.shape[0]):
        top = raw[y, 0]
        for x in range(raw.shape[1]):
            lowest = raw[y, x] if raw[y, x] < lowest else lowest
            top = raw[y, x] if raw[y, x] > top else top
        if top > highest:
            highest, n_highest = top, 0
        if top == highest:
            n = 0
            for x in range(raw.shape[1]):
                n += 1 if raw[y, x] == top else 0
            n_highest += n
    return float(lowest), float(highest), n_highest
