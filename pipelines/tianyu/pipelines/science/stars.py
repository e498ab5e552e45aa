"""Find the stars of one frame: for alignment, seeing and the count that judges the frame.

Stars are local maxima above a threshold. Only pixels above it are looked at twice, so the cost
is one pass over the image; positions, widths and fluxes are Gaussian-windowed moments. This is
no catalogue: a few hundred clean stars are wanted, not all of them.
"""

import struct
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.masks import MaskBit

THRESHOLD_SIGMA = 10.0
"""Peak over sky noise at which stars are counted: above all noise, deep for small mirrors."""
DEEP_THRESHOLD_SIGMA = 5.0
"""Second threshold, for frames with too few stars to align: below it noise peaks appear."""
SMOOTHED_THRESHOLD_SIGMA = 4.5
"""Last threshold, on the frame smoothed by a 3 × 3 box, in units of the smoothed noise."""
ENOUGH_STARS = 100
"""With 100 stars a shift never fails when half of them are lost in each list (with 50 in 1 %)."""
MAX_STARS = 200
"""More stars add nothing to an alignment but time."""
MIN_AREA_PIX = 4
"""Pixels above the threshold in the 3 × 3 around a peak. A star on the corner of four pixels
lights all of them; a hot pixel lights one, a one-pixel-wide cosmic-ray track three."""
MIN_FWHM_PIX = 1.0
"""Narrower than a pixel, along either axis, is no image of a star but a cosmic ray."""
MIN_WIDTH_RATIO = 0.5
"""Nor is what is narrower than this times the width of the frame's other peaks."""
MAX_ELONGATION = 4.0
"""Longer than this are trails of satellites, each dozens of peaks."""
MAX_ELONGATION_RATIO = 2.0
"""And so is what is longer than this times the rounder quarter of the frame's peaks."""
ISOLATION_PIX = 3
"""A peak is the highest within this half-width: the noise in the core of a star of 6 px FWHM
does not make two stars of it. Also the margin left free at the edges."""
BRIGHTEST_FOR_SHAPE = 100
"""The frame's FWHM and elongation are medians over so many stars, the rest being noisier."""

_FWHM_PER_SIGMA = 2.0 * np.sqrt(2.0 * np.log(2.0))
_WINDOW_SIGMA_PIX = (1.3, 4.0)  # narrower ones are sampled too coarsely: 0.02 px on sharp stars
_WINDOW_STARS = 50  # enough for the median width that sets the frame's window
_MAX_CENTRE_STEP_PIX = 2.0  # a centroid farther from its peak belongs to something else
_ITERATIONS = 4  # each divides the error of a centroid by about ten
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
        return _star_list(np.stack(self._columns)[:, :n], self.n_detected, self.threshold_sigma)

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
        return _star_list(table.astype(np.float64), n_detected, threshold_sigma)


def find_stars(
    pixels: FloatImage,
    mask: MaskImage,
    rms: float | FloatImage,
    *,
    threshold_sigma: float = THRESHOLD_SIGMA,
    min_area: int = MIN_AREA_PIX,
    max_stars: int = MAX_STARS,
    enough_stars: int = ENOUGH_STARS,
) -> StarList:
    """Find the brightest unsaturated stars of a sky-subtracted frame.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Frame with the sky subtracted.
    mask : ndarray of uint8, shape (ny, nx)
        Zero for good pixels. A star with a masked pixel in its central 3 × 3 is left out: it
        is saturated, or its centroid cannot be trusted.
    rms : float or ndarray of float32, shape (ny, nx)
        Noise of the sky, same unit as ``pixels``.
    threshold_sigma : float, optional
        Height of the peak over ``rms`` from which a star counts. Keep it the same for all
        frames whose counts are compared.
    min_area : int, optional
        Pixels above the threshold needed among the 3 × 3 around the peak.
    max_stars : int, optional
        Length of the list at most.
    enough_stars : int, optional
        With fewer, the list (not the count) is filled from 5σ; with fewer than half of it
        also from the frame smoothed by a 3 × 3 box.

    Returns
    -------
    StarList
        Empty when there is no star: a frame through thick cloud is no error here.

    Raises
    ------
    ValueError
        If the shapes differ or the noise is not positive.

    Notes
    -----
    The centroid is the fixed point of the Gaussian-windowed mean (``XWIN_IMAGE`` of [1]_), the
    window being as wide as the frame's stars. The windowed covariance :math:`C_w` of a Gaussian
    star obeys :math:`C^{-1} = C_w^{-1} - 1/σ_w^2`, which gives its true widths.

    References
    ----------
    .. [1] Bertin & Arnouts 1996, A&AS 117, 393; SExtractor manual, "Windowed positional
       parameters".

    Examples
    --------
    >>> y, x = np.mgrid[0:40, 0:50]
    >>> image = 900 * np.exp(-((x - 20.25) ** 2 + (y - 17.5) ** 2) / (2 * 1.5**2))
    >>> stars = find_stars(image.astype(np.float32), np.zeros((40, 50), np.uint8), rms=5.0)
    >>> stars.count, round(float(stars.x[0]), 3), round(float(stars.y[0]), 3)
    (1, 20.25, 17.5)
    """
    _check(pixels, mask, rms)
    counted = peaks = _find_peaks(pixels, mask, rms, threshold_sigma, min_area)
    if len(peaks) < enough_stars and threshold_sigma > DEEP_THRESHOLD_SIGMA:
        peaks = _find_peaks(pixels, mask, rms, DEEP_THRESHOLD_SIGMA, min_area)
    if len(peaks) < enough_stars / 2:
        sigma = SMOOTHED_THRESHOLD_SIGMA / 3.0  # the mean of nine has a third of the noise
        peaks = np.union1d(peaks, _find_peaks(_smooth(pixels, mask), mask, rms, sigma, min_area))
    peaks = peaks[np.argsort(-pixels.ravel()[peaks], kind="stable")[:max_stars]]
    columns, is_star = _measure(pixels, mask, peaks)
    # Two times the windowed mean of white noise, which is sqrt(8π)·σ²·rms/flux for w² = σ².
    width2 = (_median(columns[4]) / _FWHM_PER_SIGMA) ** 2
    error = np.sqrt(8.0 * np.pi) * width2 * _at(rms, peaks[is_star]) / columns[2]
    table = np.stack([*columns, error])[:, np.argsort(-columns[2], kind="stable")]
    n_detected = len(np.setdiff1d(counted, peaks[~is_star], assume_unique=True))
    return _star_list(table, n_detected, threshold_sigma)


def _star_list(table: FloatArray, n_detected: int, threshold_sigma: float) -> StarList:
    x, y, flux, peak, fwhm_pix, elongation, error_pix = table
    return StarList(
        x, y, flux, peak, fwhm_pix, elongation, error_pix, n_detected, float(threshold_sigma)
    )


def _check(pixels: FloatImage, mask: MaskImage, rms: float | FloatImage) -> None:
    if pixels.ndim != 2 or mask.shape != pixels.shape or np.shape(rms) not in {(), pixels.shape}:
        raise ValueError(
            "pixels, mask and an image of the rms must have one 2-d shape, got "
            f"{pixels.shape}, {mask.shape} and {np.shape(rms)}"
        )
    if not np.min(rms) > 0.0:
        raise ValueError("the rms of the sky must be positive everywhere; mask pixels instead")


def _at(rms: float | FloatImage, peaks: IntArray) -> FloatArray:
    """Noise of the sky at flat indices."""
    noise = np.ravel(rms)[peaks] if np.ndim(rms) else np.full(len(peaks), rms)
    return noise.astype(np.float64)


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if values.size else float("nan")


def _smooth(pixels: FloatImage, mask: MaskImage) -> FloatImage:
    """Average every 3 × 3 block, masked pixels counting as sky."""
    clean = np.where((mask == 0) & np.isfinite(pixels), pixels / np.float32(9.0), np.float32(0.0))
    clean[1:-1] = clean[:-2] + clean[1:-1] + clean[2:]
    clean[:, 1:-1] = clean[:, :-2] + clean[:, 1:-1] + clean[:, 2:]
    return clean


def _find_peaks(
    pixels: FloatImage, mask: MaskImage, rms: float | FloatImage, sigma: float, min_area: int
) -> IntArray:
    """Return flat indices of the isolated maxima, away from the edge and from masked cores."""
    values, bits, edge = pixels.ravel(), mask.ravel(), ISOLATION_PIX
    bright = pixels > np.float32(sigma * np.min(rms))
    bright[:edge], bright[-edge:], bright[:, :edge], bright[:, -edge:] = (False,) * 4
    peaks = np.flatnonzero(bright)
    for step in _neighbours(pixels.shape[1], ISOLATION_PIX):
        # Of two equal pixels the first is the peak. Bad pixels do not compete, saturated ones do.
        height, other = values[peaks], values[peaks + step]
        beaten = np.flatnonzero(other >= height if step < 0 else other > height)
        fair = (bits[peaks[beaten] + step] & ~np.uint8(MaskBit.SATURATED)) == 0
        peaks = np.delete(peaks, beaten[fair])
    block = peaks[:, np.newaxis] + np.array([0, *_neighbours(pixels.shape[1], 1)])
    above = values[block] > sigma * _at(rms, peaks)[:, np.newaxis]
    ok = above[:, 0] & (above.sum(axis=1) >= min_area) & ~bits[block].any(axis=1)
    return np.asarray(peaks[ok], dtype=np.int64)


def _neighbours(nx: int, reach: int) -> list[int]:
    """Flat steps to the pixels within ``reach``, nearest first, so that few peaks go on."""
    steps = [(i, j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1) if i or j]
    return [j * nx + i for i, j in sorted(steps, key=lambda s: s[0] ** 2 + s[1] ** 2)]


def _measure(pixels: FloatImage, mask: MaskImage, peaks: IntArray) -> tuple[FloatArray, BoolArray]:
    """Measure peaks sorted by brightness: columns of the stars, and which peaks are stars."""
    window = 2.0
    for _ in range(2):  # the median width of the brightest sets the window of all
        fwhm = _windowed(pixels, mask, peaks[:_WINDOW_STARS], window)[0][4]
        if fwhm.size:
            window = float(np.clip(np.median(fwhm) / _FWHM_PER_SIGMA, *_WINDOW_SIGMA_PIX))
    return _windowed(pixels, mask, peaks, window)


def _windowed(
    pixels: FloatImage, mask: MaskImage, peaks: IntArray, window: float
) -> tuple[FloatArray, BoolArray]:
    """Measure peaks under a Gaussian window of that σ (pixels)."""
    y, x = peaks // pixels.shape[1], peaks % pixels.shape[1]
    offset = np.arange(-(radius := int(np.ceil(3.0 * window))), radius + 1)
    stamps = _stamps(pixels, mask, y, x, offset)
    dx, dy, limit = np.zeros(len(peaks)), np.zeros(len(peaks)), 2.0 * _MAX_CENTRE_STEP_PIX
    for _ in range(_ITERATIONS):
        m = _moments(stamps, offset, dx, dy, window)
        # The windowed mean goes a part of the way to the centre, half of it if σ = σ_w.
        variance = 0.5 * (m[:, 0, 2] + m[:, 2, 0] - m[:, 0, 1] ** 2 - m[:, 1, 0] ** 2)
        part = np.clip(1.0 - variance / window**2, 0.33, 1.0)
        dx = np.clip(dx + m[:, 0, 1] / part, -limit, limit)
        dy = np.clip(dy + m[:, 1, 0] / part, -limit, limit)
    major, minor = _axes(m, window)
    ok = (m[:, 0, 0] > 0.0) & (minor * _FWHM_PER_SIGMA >= MIN_FWHM_PIX)
    ok &= (major <= MAX_ELONGATION * minor) & (np.hypot(dx, dy) <= _MAX_CENTRE_STEP_PIX)
    if ok.any():
        ok &= major <= MAX_ELONGATION_RATIO * np.quantile(major[ok] / minor[ok], 0.25) * minor
        ok &= minor >= MIN_WIDTH_RATIO * np.median(minor[ok])
    sigma = np.sqrt(major[ok] * minor[ok])
    # The window passes 1/(1 + (σ/σ_w)²) of a Gaussian; one σ for all keeps noise out of fluxes.
    flux = m[ok, 0, 0] * (1.0 + (_median(sigma) / window) ** 2)
    columns = [(x + dx)[ok], (y + dy)[ok], flux, pixels.ravel()[peaks[ok]]]
    return np.stack([*columns, sigma * _FWHM_PER_SIGMA, major[ok] / minor[ok]]), ok


def _stamps(
    pixels: FloatImage, mask: MaskImage, y: IntArray, x: IntArray, offset: IntArray
) -> FloatArray:
    """Cut ``(n, s, s)`` stamps; what is masked, not finite or off the frame is zero."""
    ny, nx = pixels.shape
    rows, columns = y[:, np.newaxis, np.newaxis] + offset[:, np.newaxis], x[:, np.newaxis] + offset
    columns = columns[:, np.newaxis, :]
    inside = (rows >= 0) & (rows < ny) & (columns >= 0) & (columns < nx)
    index = np.where(inside, rows * nx + columns, 0)
    values = pixels.ravel()[index].astype(np.float64)
    return np.where(inside & (mask.ravel()[index] == 0) & np.isfinite(values), values, 0.0)


def _moments(
    stamps: FloatArray, offset: IntArray, dx: FloatArray, dy: FloatArray, window: float
) -> FloatArray:
    """Return windowed means ``m[n, j, i]`` of ``y^j x^i`` about the centres, sums in [n, 0, 0]."""
    powers = []
    for centre in (dy, dx):
        distance = offset - centre[:, np.newaxis]
        weight = np.exp(-0.5 * (distance / window) ** 2)
        powers.append(np.stack([weight, weight * distance, weight * distance**2], axis=1))
    m: FloatArray = powers[0] @ stamps @ powers[1].transpose(0, 2, 1)
    total = m[:, 0, 0].copy()
    m /= np.where(total > 0.0, total, np.inf)[:, np.newaxis, np.newaxis]
    m[:, 0, 0] = total
    return m


def _axes(m: FloatArray, window: float) -> tuple[FloatArray, FloatArray]:
    """Return the σ (pixels) along both axes, the window's share taken out.

    A minor axis without width is 0, a major axis wider than the window can tell is infinite.
    """
    mean, half = 0.5 * (m[:, 0, 2] + m[:, 2, 0]), 0.5 * (m[:, 0, 2] - m[:, 2, 0])
    split = np.hypot(half, m[:, 1, 1])
    axes = []
    for variance, nothing in ((mean + split, np.inf), (mean - split, 0.0)):
        share = 1.0 - variance / window**2
        ok = (variance > 0.0) & (share > 0.0)
        axes.append(np.where(ok, np.sqrt(np.abs(variance / np.where(ok, share, 1.0))), nothing))
    return axes[0], axes[1]
