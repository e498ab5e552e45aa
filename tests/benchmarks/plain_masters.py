"""Master frames as the opponents use them: plain means, made once and not counted."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]


@dataclass(frozen=True)
class PlainMasters:
    """Bias plus dark of the lights' exposure time, and the flat of mean one."""

    dark: FloatImage
    flat: FloatImage

    @classmethod
    def of(cls, folder: Path) -> "PlainMasters":
        """Average what a folder holds; the darks are as long as the lights."""
        bias = _mean(sorted(folder.glob("bias_*.fits")))
        dark = _mean(sorted(folder.glob("dark_*.fits")))
        flat = _mean(sorted(folder.glob("flat_*.fits"))) - bias
        return cls(dark, flat / np.float32(flat.mean()))

    def calibrate(self, raw: NDArray[np.uint16]) -> FloatImage:
        """Return (raw − dark) / flat."""
        return (raw.astype(np.float32) - self.dark) / self.flat


def _mean(paths: list[Path]) -> FloatImage:
    total: FloatImage = np.zeros((), np.float32)
    for path in paths:
        total = total + fits.getdata(path).astype(np.float32)
    return total / np.float32(len(paths))
