"""Absolute zero points: instrumental magnitudes against those of a catalogue.

``m = zero point − 2.5 log₁₀ F``. A catalogue's band is never quite the telescope's, so a star
departs from its zero point by a constant of its own. The zero points of frames are freed of
these constants, else they would jump whenever a star leaves the field.
"""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray
from tianyu.pipelines.science.clipping import MAD_TO_SIGMA

FEWEST_STARS = 3
FEWEST_STARS_LEFT = 5
"""Clipping stops here: three of four stars may agree by chance, which says nothing."""

CLIP_SIGMA = 3.0
ROUNDS = 10

MEDIAN_ERROR = 1.2533
"""Standard error of a median in units of that of a mean, of normal values: sqrt(π/2)."""

FEWEST_STARS_FOR_COLOUR = 8
"""A slope through fewer would follow single stars."""


@dataclass(frozen=True)
class ZeroPointFit:
    """Zero point of one night.

    Attributes
    ----------
    zero_point : float
        Magnitude of one unit of flux, at the colour `colour_pivot`.
    error : float
        Its standard error by the scatter of the stars, mag.
    scatter : float
        Robust standard deviation of a star about it, mag.
    n_stars : int
        That were not clipped.
    colour_term, colour_pivot : float
        Magnitudes per magnitude of colour, and the colour without correction; NaN: not fitted.
    """

    zero_point: float
    error: float
    scatter: float
    n_stars: int
    colour_term: float = float("nan")
    colour_pivot: float = float("nan")

    def correction(self, colour: FloatArray) -> FloatArray:
        """Return what the colour term adds to a magnitude; 0 where the colour is not known."""
        if not np.isfinite(self.colour_term):
            return np.zeros_like(colour)
        return np.nan_to_num(self.colour_term * (colour - self.colour_pivot))


@dataclass(frozen=True)
class FrameZeroPoints:
    """Zero points of n frames.

    Attributes
    ----------
    zero_point : ndarray, shape (n,)
        NaN where fewer than three stars are measured.
    error : ndarray, shape (n,)
        From frame to frame: the stars' own constants do not enter.
    scatter : ndarray, shape (n,)
        Robust standard deviation of the stars about the catalogue, mag.
    n_stars : ndarray of int, shape (n,)
    """

    zero_point: FloatArray
    error: FloatArray
    scatter: FloatArray
    n_stars: np.ndarray


def instrumental_magnitude(flux: FloatArray) -> FloatArray:
    """Return −2.5 log₁₀ of a flux; NaN where it is not positive."""
    positive = np.where(np.asarray(flux) > 0.0, flux, np.nan)
    return np.asarray(-2.5 * np.log10(positive))


def fit_zero_point(
    instrumental: FloatArray,
    catalogue: FloatArray,
    colour: FloatArray | None = None,
) -> ZeroPointFit | None:
    """Fit one zero point to stars, clipping at 3σ, with a colour term where colours are given.

    Parameters
    ----------
    instrumental, catalogue : ndarray, shape (n,)
        Magnitudes; a star that lacks either is left out.
    colour : ndarray, shape (n,), optional
        Colour indices. With fewer than eight stars that have one, no term is fitted.

    Returns
    -------
    ZeroPointFit or None
        None with fewer than three stars.

    Examples
    --------
    >>> fit = fit_zero_point(np.array([-8.0, -9.0, -10.0]), np.array([12.0, 11.0, 10.0]))
    >>> fit.zero_point, fit.n_stars
    (20.0, 3)
    """
    difference = catalogue - instrumental
    use = np.isfinite(difference)
    if colour is not None and np.count_nonzero(use & np.isfinite(colour)) >= (
        FEWEST_STARS_FOR_COLOUR
    ):
        return _with_colour(difference, use & np.isfinite(colour), colour)
    if np.count_nonzero(use) < FEWEST_STARS:
        return None
    use = _clipped(difference, use)
    zero_point = float(np.median(difference[use]))
    scatter, n = _sigma(difference[use] - zero_point), int(np.count_nonzero(use))
    return ZeroPointFit(zero_point, MEDIAN_ERROR * scatter / np.sqrt(n), scatter, n)


def zero_points_of_frames(
    instrumental: FloatArray, catalogue: FloatArray, colour_correction: FloatArray | None = None
) -> FrameZeroPoints:
    """Return the zero point of every frame by a median polish of stars and frames.

    Parameters
    ----------
    instrumental : ndarray, shape (n_star, n_frame)
        NaN where not measured.
    catalogue : ndarray, shape (n_star,)
        Magnitudes, NaN where not known.
    colour_correction : ndarray, shape (n_star,), optional
        Added to the instrumental magnitudes.
    """
    correction = 0.0 if colour_correction is None else colour_correction[:, None]
    difference = catalogue[:, None] - instrumental - correction
    difference = difference[np.isfinite(difference).any(axis=1)]
    n_stars = np.isfinite(difference).sum(axis=0)
    enough = n_stars >= FEWEST_STARS
    zero_point = np.full(instrumental.shape[1], np.nan)
    error, scatter = zero_point.copy(), zero_point.copy()
    if not enough.any():
        return FrameZeroPoints(zero_point, error, scatter, n_stars)
    difference, columns = difference[:, enough], np.flatnonzero(enough)
    difference = difference[np.isfinite(difference).any(axis=1)]
    offset = np.zeros(len(difference))
    kept = np.ones(len(difference), dtype=bool)
    for _ in range(ROUNDS):
        of_frame = np.nanmedian(difference - offset[:, None], axis=0)
        offset = np.nanmedian(difference - of_frame, axis=1)
        kept = _clipped(offset, np.ones(len(offset), dtype=bool))
        # The constants are about the zero point, which is where most of the stars are.
        offset -= np.median(offset[kept])
    of_frame = np.nanmedian(difference - offset[:, None], axis=0)
    zero_point[columns] = of_frame
    left = difference - of_frame
    for i, frame in enumerate(columns):
        here = left[:, i][np.isfinite(left[:, i]) & kept]
        scatter[frame] = _sigma(here) if len(here) >= FEWEST_STARS else np.nan
        free = (left[:, i] - offset)[np.isfinite(left[:, i])]
        error[frame] = MEDIAN_ERROR * _sigma(free) / np.sqrt(len(free))
    return FrameZeroPoints(zero_point, error, scatter, n_stars)


def _with_colour(difference: FloatArray, use: BoolArray, colour: FloatArray) -> ZeroPointFit:
    """Fit a straight line in colour, clipping what departs from it."""
    pivot = float(np.median(colour[use]))
    slope, zero_point = 0.0, float(np.median(difference[use]))
    for _ in range(ROUNDS):
        left = difference - zero_point - slope * (colour - pivot)
        near = use & (np.abs(left) <= CLIP_SIGMA * max(_sigma(left[use]), 1e-6))
        if np.count_nonzero(near) < FEWEST_STARS_FOR_COLOUR:
            break
        slope, zero_point = map(float, np.polyfit(colour[near] - pivot, difference[near], 1))
    left = difference - zero_point - slope * (colour - pivot)
    near = use & (np.abs(left) <= CLIP_SIGMA * max(_sigma(left[use]), 1e-6))
    n = int(np.count_nonzero(near))
    scatter = _sigma(left[near])
    return ZeroPointFit(zero_point, scatter / np.sqrt(n), scatter, n, slope, pivot)


def _clipped(values: FloatArray, use: BoolArray) -> BoolArray:
    """Leave out what departs by more than 3σ from the median, until nothing does."""
    for _ in range(ROUNDS):
        centre = np.median(values[use])
        near = use & (np.abs(values - centre) <= CLIP_SIGMA * _sigma(values[use] - centre))
        if near.sum() == use.sum() or near.sum() < FEWEST_STARS_LEFT:
            break
        use = near
    return use


def _sigma(values: FloatArray) -> float:
    """Return the standard deviation by the median absolute deviation."""
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values))))
