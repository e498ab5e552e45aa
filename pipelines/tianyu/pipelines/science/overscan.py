"""The bias level of every single frame, from the overscan that is read with it."""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatImage

LEAST_PER_LINE = 5
"""Overscan pixels from which a line has a level of its own; of fewer the whole strip has one."""

CLIP_SIGMA = 5.0
"""Cosmic rays and bad columns of the overscan are farther off; noise is once in a few million."""

_SIGMA_PER_MAD = 1.4826

Section = tuple[int, int, int, int]
"""First column, column after the last, first row, row after the last; 0-based."""


@dataclass(frozen=True, eq=False)
class RawFrame:
    """A raw frame cut to the part that sees light.

    Attributes
    ----------
    pixels : ndarray, shape (ny, nx)
        Counts as read, ADU: where they saturate is seen in them only.
    overscan : ndarray of float32 or None
        Level to be subtracted, ADU; shape (ny, 1), (1, nx) or (1, 1).
    """

    pixels: AnyArray
    overscan: FloatImage | None = None

    @property
    def corrected(self) -> AnyArray:
        """The pixels less their overscan, float32; as read where there is none."""
        if self.overscan is None:
            return self.pixels
        return np.subtract(self.pixels, self.overscan, dtype=np.float32)


def cut(raw: AnyArray, data: Section | None, overscan: Section | None) -> RawFrame:
    """Cut a frame to the part that sees light and measure its overscan.

    Parameters
    ----------
    raw : ndarray, shape (height, width)
        As read from the file.
    data : tuple of int or None
        Section that sees light; None: all of it.
    overscan : tuple of int or None

    Examples
    --------
    >>> raw = np.array([[5, 6, 1, 1, 1, 1, 1], [7, 9, 2, 2, 2, 2, 2]])
    >>> cut(raw, (0, 2, 0, 2), (2, 7, 0, 2)).corrected.tolist()
    [[4.0, 5.0], [5.0, 7.0]]
    """
    x1, x2, y1, y2 = data or (0, raw.shape[1], 0, raw.shape[0])
    pixels = raw[y1:y2, x1:x2]
    if overscan is None:
        return RawFrame(pixels)
    return RawFrame(pixels, _level(raw, (x1, x2, y1, y2), overscan))


def _level(raw: AnyArray, data: Section, overscan: Section) -> FloatImage:
    """Return the level per row beside the data, per column above or below, else one for all."""
    x1, x2, y1, y2 = overscan
    if x2 - x1 >= LEAST_PER_LINE and y1 <= data[2] and y2 >= data[3]:
        return _clipped_mean(raw[data[2] : data[3], x1:x2], axis=1)
    if y2 - y1 >= LEAST_PER_LINE and x1 <= data[0] and x2 >= data[1]:
        return _clipped_mean(raw[y1:y2, data[0] : data[1]], axis=0)
    return _clipped_mean(raw[y1:y2, x1:x2].reshape(1, -1), axis=1)


def _clipped_mean(strip: AnyArray, axis: int) -> FloatImage:
    values = strip.astype(np.float64)
    median = np.median(values, axis=axis, keepdims=True)
    # The noise is that of the amplifier, the same in every line.
    sigma = _SIGMA_PER_MAD * float(np.median(np.abs(values - median)))
    near = np.abs(values - median) <= max(CLIP_SIGMA * sigma, 1.0)
    level: FloatImage = np.mean(values, axis=axis, keepdims=True, where=near).astype(np.float32)
    return level
