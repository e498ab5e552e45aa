"""Which of a pixel's values belong together: the clip of cosmic rays in darks, stars in flats."""

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatImage

CLIP_SIGMA = 5.0
"""Clipping threshold: normal noise loses one value in 1.7 million."""

LEAST_FRAMES_TO_CLIP = 3
"""Of two values neither can be called the outlier."""

MOST_EXCHANGED = 12
"""Of more frames than this, pixels are sorted one by one: exchanges grow with their square."""

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution in units of its median absolute deviation."""


def near_median(values: FloatImage, n_sigma: float = CLIP_SIGMA) -> BoolArray:
    """Tell which values are near the median of their pixel.

    A value is far when it departs from the median by more than `n_sigma` times the noise: the
    larger of the noise in its row and, for pixels with more of it, in the pixel.

    Parameters
    ----------
    values : ndarray of float32, shape (n_frames, n_rows, width)
        The same rows of at least three frames, of one level.
    n_sigma : float
        Clipping threshold, standard deviations.

    Returns
    -------
    ndarray of bool, shape (n_frames, n_rows, width)
        True for near values, and for NaN.

    Examples
    --------
    >>> rows = np.float32([[[20, 21, 19]], [[21, 20, 420]], [[19, 20, 21]]])
    >>> near_median(rows)[:, 0, 2].tolist()
    [True, False, True]
    """
    departure = np.abs(values - median_of_few(values))
    # A handful of values says little about its own noise: at least that of the row, from
    # differences of successive frames. Rows, not strips: the strips' size must not matter.
    steps = np.nan_to_num(np.abs(np.diff(values, axis=0)))
    of_row = np.median(steps, axis=(0, 2), keepdims=True)[0] / np.sqrt(2)
    sigma = MAD_TO_SIGMA * np.maximum(median_of_few(departure), of_row)
    near: BoolArray = ~(departure > n_sigma * sigma)  # NaN counts as near, and shows in the mean
    return near


def median_of_few(values: FloatImage) -> FloatImage:
    """Return the medians along the first axis; as of :func:`numpy.median`, NaN of any NaN.

    A few frames are sorted by exchanging whole frames, half a dozen times as fast as pixel by
    pixel.

    Examples
    --------
    >>> median_of_few(np.float32([[1, 9], [3, 7], [2, 8]])).tolist()
    [2.0, 8.0]
    """
    n = len(values)
    if n > MOST_EXCHANGED:
        return np.asarray(np.median(values, axis=0))
    ordered = list(values)
    # Odd-even transposition: n rounds sort n numbers.
    for turn in range(n):
        for i in range(turn % 2, n - 1, 2):
            low, high = ordered[i], ordered[i + 1]
            ordered[i], ordered[i + 1] = np.minimum(low, high), np.maximum(low, high)
    median: FloatImage = ordered[n // 2]
    if n % 2 == 0:
        median = (ordered[n // 2 - 1] + median) / np.float32(2.0)
    return median
