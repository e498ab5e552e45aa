"""What is taken off every frame and what every frame is multiplied by, prepared from masters."""

from collections.abc import Iterator

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatImage

LOWEST_FLAT = 0.1
"""Response, relative to the mean of the flat, below which a pixel is not divided.

A tenth of the light means more than three times the relative noise; vignetted corners
(0.3 and more) stay in use.
"""

_STRIP_ROWS = 64
"""Rows that are prepared at once."""


def offset_of(bias: AnyArray | None, dark: AnyArray | None, dark_scale: float) -> FloatImage | None:
    """Return ``B + t·D``, or None when there is nothing to subtract.

    Parameters
    ----------
    bias, dark : ndarray, shape (ny, nx), or None
        Masters B and D, ADU.
    dark_scale : float
        Ratio t of exposure times.

    Returns
    -------
    ndarray of float32, shape (ny, nx), or None
        ADU.
    """
    known = dark if bias is None else bias
    if known is None:
        return None
    offset = np.empty(known.shape, np.float32)
    for rows in _strips(known.shape[0]):
        # In double precision a strip at a time: whole images of it would be most of the memory.
        level = np.zeros(offset[rows].shape) if bias is None else bias[rows].astype(np.float64)
        if dark is not None:
            level += dark_scale * dark[rows].astype(np.float64)
        offset[rows] = level
    return offset


def response_of(flat: AnyArray) -> FloatImage:
    """Return ``1/F``, and 0 where the flat cannot be divided by.

    Parameters
    ----------
    flat : ndarray, shape (ny, nx)
        Master flat F, about 1.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
    """
    response = np.zeros(flat.shape, np.float32)
    for rows in _strips(flat.shape[0]):
        part = flat[rows]
        usable = np.isfinite(part) & (part > LOWEST_FLAT)
        response[rows] = np.divide(1.0, part, out=np.zeros(part.shape), where=usable)
    return response


def _strips(n_rows: int) -> Iterator[slice]:
    return (slice(row, row + _STRIP_ROWS) for row in range(0, n_rows, _STRIP_ROWS))


def offset_with(
    pattern: FloatImage, offset: FloatImage | None, response: FloatImage | None
) -> FloatImage:
    """Return ``O + P·F``: what takes a pattern off as well, since ``(S − O)/F − P`` is the same.

    Parameters
    ----------
    pattern : ndarray of float32, shape (ny, nx)
        P, ADU of a pixel with mean response.
    offset, response : ndarray of float32, shape (ny, nx), or None
        O, ADU, and 1/F; where that is 0, a pixel has no value and nothing is taken off.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        ADU.
    """
    total = pattern.copy()
    if response is not None:
        np.divide(pattern, response, out=total, where=response != 0)
        total[response == 0] = 0.0
    if offset is not None:
        total += offset
    return total
