"""Frames read in strips of rows, for what needs the same rows of all frames at once.

So memory stays bounded however many frames there are.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import AnyArray, FloatImage

RowReader = Callable[[int, int], AnyArray]
"""Rows ``start`` to ``stop`` (exclusive) of one raw frame, shape ``(stop − start, nx)``."""

STRIP_ROWS = 64
"""Rows of all frames held at once: 10 MB for 20 frames of 2048 columns."""


def strips(n_rows: int, strip_rows: int = STRIP_ROWS) -> Iterator[slice]:
    """Yield the ranges of rows, the last of which may be shorter.

    Examples
    --------
    >>> [(rows.start, rows.stop) for rows in strips(150, 64)]
    [(0, 64), (64, 128), (128, 150)]
    """
    for start in range(0, n_rows, strip_rows):
        yield slice(start, min(start + strip_rows, n_rows))


def read_strip(frames: Sequence[RowReader], rows: slice, width: int) -> FloatImage:
    """Read the same rows of all frames.

    Parameters
    ----------
    frames : sequence of RowReader
        At least one.
    rows : slice
        Range of rows, as from :func:`strips`.
    width : int
        Columns that every frame has.

    Returns
    -------
    ndarray of float32, shape (n_frames, n_rows, width)
        A new array, NaN where a frame is not finite.

    Raises
    ------
    UnusableDataError
        If there is no frame, or a reader returns rows of another shape.
    """
    if not frames:
        raise UnusableDataError("no frames to combine: register at least one")
    values = np.empty((len(frames), rows.stop - rows.start, width), np.float32)
    for number, read in enumerate(frames, start=1):
        strip = read(rows.start, rows.stop)
        if strip.shape != values.shape[1:]:
            raise UnusableDataError(
                f"rows {rows.start}–{rows.stop} of frame {number} have shape {strip.shape}, "
                f"expected {values.shape[1:]}: combine images of one read-out window and binning"
            )
        values[number - 1] = strip
    values[~np.isfinite(values)] = np.nan
    return values
