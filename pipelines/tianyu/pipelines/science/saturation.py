"""The level at which the data themselves stop: saturation where no header tells."""

from collections.abc import Sequence

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray

PILED_PIXELS = 3
"""Pixels at exactly the largest count of a frame from which it is a ceiling, not a peak.

The brightest counts of unsaturated stars spread over thousands of values; three on the very
same one happen by chance in less than one frame of a thousand.
"""


def find_ceiling(frames: Sequence[AnyArray]) -> float | None:
    """Return the largest count of raw frames if pixels pile up on it.

    Parameters
    ----------
    frames : sequence of ndarray, each of shape (ny, nx)
        Raw frames of one camera and setting, ADU.

    Returns
    -------
    float or None
        The ceiling in ADU; None when nothing in these frames is saturated.

    Examples
    --------
    >>> night = np.arange(16, dtype=np.int16).reshape(4, 4)
    >>> find_ceiling([night]) is None
    True
    >>> night[1, :3] = 4095
    >>> find_ceiling([night])
    4095.0
    """
    highest = max((float(np.nanmax(frame)) for frame in frames), default=float("nan"))
    piled = sum(int(np.count_nonzero(frame == highest)) for frame in frames)
    return highest if piled >= PILED_PIXELS else None
