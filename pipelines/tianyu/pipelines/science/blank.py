"""Frames that hold no picture: a shutter or a read-out that failed, a sky far too bright."""

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import AnyArray

LARGEST_SHARE_AT_TOP = 0.5
"""Photon noise spreads the counts of a frame that sees light over many values; with half of the
pixels at exactly the largest one, that is where the detector stops."""


def refuse_blank(raw: AnyArray, name: str, *, sees_light: bool) -> None:
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

    Raises
    ------
    UnusableDataError
        If no pixel has a value, all have the same, or most are saturated.

    Examples
    --------
    >>> refuse_blank(np.arange(6).reshape(2, 3), "a.fits", sees_light=True)
    """
    lowest, highest = _extremes(raw)
    if np.isnan(highest):
        raise UnusableDataError(f"{name}: no pixel has a value, all are NaN; leave the file out")
    if lowest == highest:
        raise UnusableDataError(
            f"{name}: every pixel holds {highest:g} ADU: the shutter, the exposure or the "
            "read-out failed; leave the file out"
        )
    if sees_light and (share := np.count_nonzero(raw == highest) / raw.size) > LARGEST_SHARE_AT_TOP:
        raise UnusableDataError(
            f"{name}: {share:.0%} of the pixels are saturated, at {highest:g} ADU; expose shorter, "
            "and leave the file out"
        )


def _extremes(raw: AnyArray) -> tuple[float, float]:
    """Return the least and the largest value that is a number; NaN if none is."""
    if np.issubdtype(raw.dtype, np.integer):
        return float(raw.min()), float(raw.max())
    finite = np.isfinite(raw)
    if not finite.any():
        return float("nan"), float("nan")
    lowest = np.min(raw, where=finite, initial=np.inf)
    return float(lowest), float(np.max(raw, where=finite, initial=-np.inf))
