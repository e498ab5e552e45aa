"""Master bias and dark: means of frames that should all be alike.

A pixel that is not finite in one of the frames is NaN in the master.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage
from tianyu.pipelines.science.clipping import CLIP_SIGMA, LEAST_FRAMES_TO_CLIP, near_median
from tianyu.pipelines.science.strips import STRIP_ROWS, RowReader, read_strip, strips


def mean_frame(frames: Iterable[AnyArray]) -> FloatImage:
    """Mean of bias or dark frames.

    Parameters
    ----------
    frames : iterable of ndarray, each of shape (ny, nx)
        Read one at a time; only their float64 sum is held, which is exact for integers.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        The mean; NaN where any frame is not finite.

    Raises
    ------
    UnusableDataError
        If there is no frame, or one of another shape.

    Examples
    --------
    >>> mean_frame([np.array([[10, 65535]], np.uint16), np.array([[13, 65535]], np.uint16)])
    array([[1.1500e+01, 6.5535e+04]], dtype=float32)
    """
    total: FloatArray | None = None
    n_frames = 0
    for n_frames, frame in enumerate(frames, start=1):
        if total is None:
            total = np.zeros(frame.shape)
        if frame.shape != total.shape or frame.ndim != 2:
            raise UnusableDataError(
                f"frame {n_frames} has shape {frame.shape}, the first {total.shape}: combine "
                "images of one read-out window and binning"
            )
        total += frame
    if total is None:
        raise UnusableDataError("no frames to average: register at least one")
    mean = (total / n_frames).astype(np.float32)
    mean[~np.isfinite(mean)] = np.nan
    return mean


def clipped_mean_frame(
    frames: Sequence[RowReader],
    shape: tuple[int, int],
    *,
    n_sigma: float = CLIP_SIGMA,
    strip_rows: int = STRIP_ROWS,
) -> FloatImage:
    """Mean without cosmic rays, for darks.

    A value is left out when it departs from the median of its pixel by more than `n_sigma`
    times the noise: the larger of the noise in its row and, for hot pixels, in the pixel.

    Parameters
    ----------
    frames : sequence of RowReader
        At least three; of fewer, the plain mean is returned.
    shape : tuple of int
        ``(ny, nx)`` of the frames.
    n_sigma : float
        Clipping threshold, standard deviations.
    strip_rows : int
        Rows held in memory at once.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        The clipped mean; NaN where any frame is not finite.

    Raises
    ------
    UnusableDataError
        If there is no frame, or a reader returns rows of another shape.
    """
    master = np.empty(shape, np.float32)
    for rows in strips(shape[0], strip_rows):
        values = read_strip(frames, rows, shape[1])
        kept = near_median(values, n_sigma) if len(frames) >= LEAST_FRAMES_TO_CLIP else True
        master[rows] = np.mean(values, axis=0, where=kept)
    return master
