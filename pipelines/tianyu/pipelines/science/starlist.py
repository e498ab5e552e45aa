"""The stars of one frame as a list that can be stored: what frames are aligned by."""

import struct
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray

THRESHOLD_SIGMA = 10.0
"""Peak over sky noise at which stars are counted: above all noise, deep for small mirrors."""
BRIGHTEST_FOR_SHAPE = 100
"""The frame's FWHM and elongation are medians over so many stars, the rest being noisier."""

_HEADER = struct.Struct("<4sHIId")  # magic, version, rows, n_detected, threshold_sigma
_MAGIC, _VERSION, _N_COLUMNS = b"TYSL", 1, 7


@dataclass(frozen=True, eq=False)
class StarList:
    """Stars of one frame, brightest first; saturated ones are left out.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Windowed centroids, 0-based pixels.
    flux : ndarray, shape (n,)
        Flux under a Gaussian of the frame's width, in the image's unit: compares frames of
        different seeing with each other, but is not meant for light curves.
    peak : ndarray, shape (n,)
        Value of the highest pixel, above the sky.
    fwhm_pix : ndarray, shape (n,)
        Full width at half maximum of the Gaussian with the star's second moments, geometric
        mean of both axes, pixels.
    elongation : ndarray, shape (n,)
        Major over minor axis, ≥ 1.
    error_pix : ndarray, shape (n,)
        Standard error of x, and of y, from the noise of the sky alone, pixels.
    n_detected : int
        Stars above ``threshold_sigma``, before the list was cut to the brightest or filled
        from a lower threshold: the count to compare between the frames of a night.
    threshold_sigma : float
        Threshold of that count, in units of the sky's rms.
    """

    x: FloatArray
    y: FloatArray
    flux: FloatArray
    peak: FloatArray
    fwhm_pix: FloatArray
    elongation: FloatArray
    error_pix: FloatArray
    n_detected: int = 0
    threshold_sigma: float = THRESHOLD_SIGMA

    def __post_init__(self) -> None:
        shapes = [column.shape for column in self._columns]
        if len(set(shapes)) != 1 or self.x.ndim != 1:
            raise ValueError(f"columns of a star list must be 1-d and equally long, got {shapes}")

    @classmethod
    def from_columns(cls, table: FloatArray, n_detected: int, threshold_sigma: float) -> "StarList":
        """Make a list of the rows of a table: x, y, flux, …, error_pix, shape ``(7, n)``."""
        x, y, flux, peak, fwhm_pix, elongation, error_pix = table
        return cls(
            x, y, flux, peak, fwhm_pix, elongation, error_pix, n_detected, float(threshold_sigma)
        )

    @property
    def _columns(self) -> tuple[FloatArray, ...]:
        shape = self.fwhm_pix, self.elongation
        return self.x, self.y, self.flux, self.peak, *shape, self.error_pix

    @property
    def count(self) -> int:
        """Number of stars in the list (at most the ``max_stars`` it was made with)."""
        return len(self.x)

    @property
    def xy(self) -> FloatArray:
        """Positions, shape ``(n, 2)``, pixels."""
        return np.column_stack([self.x, self.y])

    @cached_property
    def fwhm_pix_median(self) -> float:
        """Median FWHM of the brightest stars, pixels; NaN for an empty list."""
        return _median(self.fwhm_pix[:BRIGHTEST_FOR_SHAPE])

    @cached_property
    def elongation_median(self) -> float:
        """Median elongation of the brightest stars; NaN for an empty list."""
        return _median(self.elongation[:BRIGHTEST_FOR_SHAPE])

    def brightest(self, n: int) -> "StarList":
        """Return the ``n`` brightest stars; the count of the frame is kept."""
        columns = np.stack(self._columns)[:, :n]
        return self.from_columns(columns, self.n_detected, self.threshold_sigma)

    def to_bytes(self) -> bytes:
        """Serialise for :meth:`from_bytes`, little-endian, to the last bit.

        So a frame aligned to a stored list lands where it does with the fresh one.
        """
        sizes = (self.count, self.n_detected, self.threshold_sigma)
        return (
            _HEADER.pack(_MAGIC, _VERSION, *sizes) + np.stack(self._columns, dtype="<f8").tobytes()
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "StarList":
        """Restore a list written by :meth:`to_bytes`.

        Raises
        ------
        ValueError
            If the bytes are no star list, are cut, or were written by a later version.
        """
        if len(data) < _HEADER.size or data[:4] != _MAGIC:
            raise ValueError(f"not a star list: the {len(data)} bytes start with {data[:4]!r}")
        _, version, count, n_detected, threshold_sigma = _HEADER.unpack_from(data)
        if version != _VERSION:
            raise ValueError(f"star list of version {version}; this code reads {_VERSION}")
        expected = _HEADER.size + 8 * _N_COLUMNS * count
        if len(data) != expected:
            raise ValueError(f"star list of {count} stars has {len(data)} bytes, not {expected}")
        table = np.frombuffer(data, "<f8", offset=_HEADER.size).reshape(_N_COLUMNS, count)
        return cls.from_columns(table.astype(np.float64), n_detected, threshold_sigma)


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if values.size else float("nan")
