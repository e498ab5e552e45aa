"""Frames that hold no picture: a shutter or a read-out that failed, a sky far too bright."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import AnyArray

LARGEST_SHARE_AT_TOP = 0.5
"""Photon noise spreads the counts of a frame that sees light over many values; with half of the
pixels at exactly the largest one, that is where the detector stops."""


Extremes: TypeAlias = Callable[[AnyArray], tuple[float, float, int]]


def refuse_blank(
    raw: AnyArray, name: str, *, sees_light: bool, extremes: Extremes | None = None
) -> None:
    """Refuse a raw frame without any information.

    Parameters
    ----------
    raw : ndarray, shape (ny, nx)
        Raw frame, ADU.
    name : str
        Of the file, for the error.
    sees_light : bool
        Whether it is a light or a flat: these may be saturated. A bias of little noise may
        well have half of its pixels at one count.
    extremes : callable, optional
        What finds the least and the largest count and how many pixels have the latter; by
        default :func:`plain_extremes`.

    Raises
    ------
    UnusableDataError
        If no pixel has a value, all have the same, or most are saturated.

    Examples
    --------
    >>> refuse_blank(np.arange(6).reshape(2, 3), "a.fits", sees_light=True)
    """
    lowest, highest, n_highest = (extremes or plain_extremes)(raw)
    if np.isnan(highest):
        raise UnusableDataError(f"{name}: no pixel has a value, all are NaN; leave the file out")
    if lowest == highest:
        raise UnusableDataError(
            f"{name}: every pixel holds {highest:g} ADU: the shutter, the exposure or the "
            "read-out failed; leave the file out"
        )
    if sees_light and (share := n_highest / raw.size) > LARGEST_SHARE_AT_TOP:
        raise UnusableDataError(
            f"{name}: {share:.0%} of the pixels are saturated, at {highest:g} ADU; expose shorter, "
            "and leave the file out"
        )


def plain_extremes(raw: AnyArray) -> tuple[float, float, int]:
    """Return the least and the largest value that is a number, and how often the latter is there.

    NaN where no pixel has a value.

    Examples
    --------
    >>> plain_extremes(np.array([[3, 7], [7, 5]]))
    (3.0, 7.0, 2)
    """
    if np.issubdtype(raw.dtype, np.integer):
        lowest, highest = raw.min(), raw.max()
    else:
        finite = np.isfinite(raw)
        if not finite.any():
            return float("nan"), float("nan"), 0
        lowest = np.min(raw, where=finite, initial=np.inf)
        highest = np.max(raw, where=finite, initial=-np.inf)
    return float(lowest), float(highest), int(np.count_nonzero(raw == highest))
