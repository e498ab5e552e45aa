"""Dimming stars in the pixels of real frames, so that a reduction can be tried on known events.

The light of a star above its local sky is multiplied by a factor m ≤ 1, with the star's own
profile, seeing, tracking and defects in that very frame:

    P' = P − (1 − m) w (P − B) + noise,    w = 1 within a radius, 0 beyond, smooth between

Every signal is injected relative to its brightest moment, so that stars are only ever dimmed:
the photon noise of a dimmed star is larger than the scaled one, and what is missing,
``m (1 − m) S / g + (1 − m²) V_sky`` per pixel, can be added as Gaussian noise, whereas noise can
never be taken away. Integer pixels are rounded up or down at random in proportion, which leaves
the mean unchanged where a signal is less than a count (variance at most 1/4).
"""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatArray
from tianyu.pipelines.science.scatter import mad_sigma

TAPER = 0.25
"""Part of the radius over which the weight falls to 0: no edge for a centroid to find."""
MIN_SKY_PIXELS = 20
CLIP_SIGMA = 3.0


@dataclass(frozen=True)
class Disc:
    """What of a frame is dimmed about a star, pixels: radius, and the annulus of the sky."""

    radius: float
    sky_inner: float
    sky_outer: float

    def __post_init__(self) -> None:
        if not 0.0 < self.radius <= self.sky_inner < self.sky_outer:
            raise ValueError(f"{self}: radii must be positive and in order")


def dim_stars(
    pixels: AnyArray,
    x: FloatArray,
    y: FloatArray,
    factor: FloatArray,
    disc: Disc,
    *,
    gain_e_per_adu: float | None,
    rng: np.random.Generator,
) -> AnyArray:
    """Dim stars of a frame, each by its own factor.

    Parameters
    ----------
    pixels : ndarray, shape (ny, nx)
        Raw frame; unchanged.
    x, y : ndarray, shape (n_star,)
        0-based pixels; stars whose disc is not whole on the frame are left alone.
    factor : ndarray, shape (n_star,)
        In [0, 1].
    disc : Disc
    gain_e_per_adu : float or None
        None leaves out the photon noise of the star that is missing.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (ny, nx)
        Of the type of ``pixels``.

    Raises
    ------
    ValueError
        If a factor is not in [0, 1].
    """
    if np.any((factor < 0.0) | (factor > 1.0)) or not np.isfinite(factor).all():
        raise ValueError("stars can only be dimmed, by factors in [0, 1]")
    dimmed = pixels.copy()
    for one_x, one_y, m in zip(x, y, factor, strict=True):
        if m < 1.0:
            _dim(dimmed, float(one_x), float(one_y), float(m), disc, gain_e_per_adu, rng)
    return dimmed


def _dim(
    pixels: AnyArray,
    x: float,
    y: float,
    factor: float,
    disc: Disc,
    gain: float | None,
    rng: np.random.Generator,
) -> None:
    reach = int(np.ceil(disc.sky_outer)) + 1
    column, row = round(x), round(y)
    height, width = pixels.shape
    if not (reach <= column < width - reach and reach <= row < height - reach):
        return
    window = np.s_[row - reach : row + reach + 1, column - reach : column + reach + 1]
    stamp = pixels[window].astype(np.float64)
    offset = np.arange(-reach, reach + 1)
    distance = np.hypot(offset - (x - column), (offset - (y - row))[:, None])
    sky, sky_variance = _sky(stamp[(distance >= disc.sky_inner) & (distance < disc.sky_outer)])
    weight = np.clip((1.0 - distance / disc.radius) / TAPER, 0.0, 1.0)
    weight = weight**2 * (3.0 - 2.0 * weight)
    m = 1.0 - (1.0 - factor) * weight
    star = stamp - sky
    missing = (1.0 - m**2) * sky_variance
    if gain is not None:
        missing = missing + m * (1.0 - m) * np.maximum(star, 0.0) / gain
    changed = sky + m * star + np.sqrt(missing) * rng.normal(size=stamp.shape)
    inside = (weight > 0) & np.isfinite(stamp)
    values = changed[inside]
    if pixels.dtype.kind in "iu":
        limits = np.iinfo(pixels.dtype)
        values = np.clip(np.floor(values + rng.random(values.size)), limits.min, limits.max)
    pixels[window][inside] = values.astype(pixels.dtype)


def _sky(values: FloatArray) -> tuple[float, float]:
    """Level and variance of a sky pixel, neighbouring stars clipped."""
    finite = values[np.isfinite(values)]
    if finite.size < MIN_SKY_PIXELS:
        return float(np.median(finite)) if finite.size else 0.0, 0.0
    for _ in range(3):
        middle, sigma = float(np.median(finite)), float(mad_sigma(finite))
        kept = finite[np.abs(finite - middle) <= CLIP_SIGMA * max(sigma, 1e-9)]
        if kept.size in {0, finite.size}:
            break
        finite = kept
    return float(np.mean(finite)), float(mad_sigma(finite)) ** 2
