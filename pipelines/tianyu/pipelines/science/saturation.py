"""The level at which the data themselves stop: saturation where no header tells."""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray

PILED_PIXELS = 3
"""Pixels at exactly the largest count of some frames from which it is a ceiling, not a peak.

The brightest counts of unsaturated stars spread over thousands of values; three on the very
same one happen by chance in less than one night of a hundred.
"""


@dataclass(frozen=True)
class HighestCounts:
    """The largest count seen so far in raw frames, and how many pixels have exactly that.

    Examples
    --------
    >>> night = np.arange(16, dtype=np.int16).reshape(4, 4)
    >>> HighestCounts().including(night).ceiling is None
    True
    >>> night[1, :3] = 4095
    >>> HighestCounts().including(night).ceiling
    4095.0
    """

    highest: float = float("-inf")
    n_pixels: int = 0

    def including(self, raw: AnyArray) -> "HighestCounts":
        """Return the counts after one more raw frame, ADU, shape ``(ny, nx)``; NaN is ignored."""
        finite = raw if raw.dtype.kind in "iu" else raw[np.isfinite(raw)]
        if finite.size == 0:
            return self
        highest = float(finite.max())
        if highest < self.highest:
            return self
        here = int(np.count_nonzero(finite == highest))
        before = self.n_pixels if highest == self.highest else 0
        return HighestCounts(highest, before + here)

    @property
    def ceiling(self) -> float | None:
        """The level at which pixels pile up, ADU; None when nothing here is saturated."""
        return self.highest if self.n_pixels >= PILED_PIXELS else None
