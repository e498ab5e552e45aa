"""Stars as Moffat profiles, integrated over the pixels."""

import math
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, FloatImage

STAMP_LOSS = 1e-4
"""Largest part of a star's light that falls outside its stamp and is left out."""

CORE_HALF_WIDTH = 12
"""Pixels this near to the star's are integrated; further out the value at a pixel's centre
is its mean to 1 %, which over the wings makes less than 0.01 % of the star."""

# Gauss–Legendre nodes and weights of three points on a pixel's width.
_NODES = (-0.5 * math.sqrt(0.6), 0.0, 0.5 * math.sqrt(0.6))
_WEIGHTS = (5.0 / 18.0, 8.0 / 18.0, 5.0 / 18.0)

_CHUNK = 32
"""Stars per batch: their stamps stay in the processor's cache."""


@dataclass(frozen=True)
class MoffatPsf:
    """Elliptical profile ``I ∝ (1 + r²/α²)^−β`` of total flux one.

    Attributes
    ----------
    fwhm_pix : float
        Geometric mean of the full widths at half maximum along both axes.
    beta : float
        Exponent, above 1.
    elongation : float
        Major over minor axis, ≥ 1.
    angle_deg : float
        Direction of the major axis, from +x towards +y.

    References
    ----------
    Moffat 1969, A&A 3, 455.
    """

    fwhm_pix: float
    beta: float = 3.0
    elongation: float = 1.0
    angle_deg: float = 0.0

    @property
    def alpha_pix(self) -> float:
        """Core radius (geometric mean of both axes, pixels)."""
        return self.fwhm_pix / (2.0 * math.sqrt(2.0 ** (1.0 / self.beta) - 1.0))

    @property
    def central_density(self) -> float:
        """Part of the flux per square pixel at the very centre."""
        return (self.beta - 1.0) / (math.pi * self.alpha_pix**2)

    @property
    def half_width_pix(self) -> int:
        """Half-width of the square stamp outside which less than `STAMP_LOSS` is left."""
        reach = math.sqrt(STAMP_LOSS ** (-1.0 / (self.beta - 1.0)) - 1.0)
        return math.ceil(reach * self.alpha_pix * math.sqrt(self.elongation))

    def encircled(self, radius_pix: float) -> float:
        """Part of the flux of a round star within a circle about it, before pixels blur it.

        >>> round(MoffatPsf(fwhm_pix=3.0).encircled(6.0), 4)
        0.9624
        """
        return float(1.0 - (1.0 + (radius_pix / self.alpha_pix) ** 2) ** (1.0 - self.beta))

    def form(self) -> tuple[float, float, float]:
        """Coefficients of ``r²/α² = p·x² + 2q·xy + s·y²`` (pixels⁻²)."""
        cosine, sine = (
            math.cos(math.radians(self.angle_deg)),
            math.sin(math.radians(self.angle_deg)),
        )
        along = 1.0 / (self.alpha_pix**2 * self.elongation)
        across = self.elongation / self.alpha_pix**2
        return (
            along * cosine**2 + across * sine**2,
            (along - across) * cosine * sine,
            along * sine**2 + across * cosine**2,
        )

    def density(self, dx: FloatImage, dy: FloatImage) -> FloatImage:
        """Part of the flux per square pixel at offsets from the stars.

        Parameters
        ----------
        dx, dy : ndarray of float32, shape (n, w)
            Offsets along x and y of the columns and rows of ``n`` stamps (pixels).

        Returns
        -------
        ndarray of float32, shape (n, w, w)
        """
        p, q, s = (np.float32(value) for value in self.form())
        base = (np.float32(2.0) * q * dy)[:, :, None] * dx[:, None, :]
        base += (p * dx * dx)[:, None, :]
        base += (s * dy * dy)[:, :, None]
        base += np.float32(1.0)
        # Powers by logarithm: NumPy's log and exp are vectorised in float32, its power is not.
        np.log(base, out=base)
        base *= np.float32(-self.beta)
        np.exp(base, out=base)
        base *= np.float32(self.central_density)
        return base

    def stamps(self, fraction_x: FloatArray, fraction_y: FloatArray) -> FloatImage:
        """Images of stars of flux one, shape ``(n, 2h + 1, 2h + 1)``, h the half-width.

        Parameters
        ----------
        fraction_x, fraction_y : ndarray of float64, shape (n,)
            Positions relative to the centre of the stamp's central pixel, within ±0.5.
        """
        half = self.half_width_pix
        dx = _offsets(half, fraction_x)
        dy = _offsets(half, fraction_y)
        stamps = self.density(dx, dy)
        core = slice(max(half - CORE_HALF_WIDTH, 0), half + CORE_HALF_WIDTH + 1)
        stamps[:, core, core] = self._integrated(dx[:, core], dy[:, core])
        return stamps

    def _integrated(self, dx: FloatImage, dy: FloatImage) -> FloatImage:
        """Integral of the profile over each pixel, by Gauss–Legendre quadrature."""
        total = np.zeros((dx.shape[0], dy.shape[1], dx.shape[1]), dtype=np.float32)
        for node_x, weight_x in zip(_NODES, _WEIGHTS, strict=True):
            for node_y, weight_y in zip(_NODES, _WEIGHTS, strict=True):
                sample = self.density(dx + np.float32(node_x), dy + np.float32(node_y))
                sample *= np.float32(weight_x * weight_y)
                total += sample
        return total


def _offsets(half: int, fraction: FloatArray) -> FloatImage:
    """Distances of a stamp's pixels from its star along one axis, shape ``(n, 2h + 1)``."""
    grid = np.arange(-half, half + 1, dtype=np.float64)
    return (grid[None, :] - fraction[:, None]).astype(np.float32)


def render_stars(
    shape: tuple[int, int], x: FloatArray, y: FloatArray, flux_e: FloatArray, psf: MoffatPsf
) -> FloatImage:
    """Draw stars on a dark image, without noise.

    Each star is right to 0.02 % of its flux within any radius up to the stamp's half-width;
    light further out (at most 0.01 %) is left out.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    x, y : ndarray of float64, shape (n,)
        Positions (0-based pixels); stars beyond the edge send in their wings.
    flux_e : ndarray of float64, shape (n,)
        Total fluxes.
    psf : MoffatPsf
        Profile of all of them.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Same unit as ``flux_e``, per pixel.

    Examples
    --------
    >>> image = render_stars((65, 65), np.array([32.3]), np.array([31.8]), np.array([1e4]),
    ...                      MoffatPsf(fwhm_pix=2.5))
    >>> bool(abs(image.sum() - 1e4) < 2.0)
    True
    """
    half = psf.half_width_pix
    ny, nx = shape
    column, row = np.rint(x).astype(np.int64), np.rint(y).astype(np.int64)
    seen = (column >= -half) & (column < nx + half) & (row >= -half) & (row < ny + half)
    canvas = np.zeros((ny + 4 * half, nx + 4 * half), dtype=np.float32)
    indices = np.flatnonzero(seen)
    for begin in range(0, indices.size, _CHUNK):
        chosen = indices[begin : begin + _CHUNK]
        stamps = psf.stamps(x[chosen] - column[chosen], y[chosen] - row[chosen])
        stamps *= flux_e[chosen].astype(np.float32)[:, None, None]
        # A margin of two half-widths holds every stamp whole, so none needs cutting.
        for stamp, left, low in zip(stamps, column[chosen] + half, row[chosen] + half, strict=True):
            canvas[low : low + 2 * half + 1, left : left + 2 * half + 1] += stamp
    return canvas[2 * half : 2 * half + ny, 2 * half : 2 * half + nx].copy()
