"""What the calibration left of the detector: warm and over-corrected pixels, from the frames.

A dark taken at another temperature, or no dark at all, leaves pixels that are too bright or too
dark by the same amount in every frame. A star that drifts over them changes its flux: on a night
that drifts by 270 pixels this was the largest noise of faint stars. The frames themselves show
the pattern, because a pixel that is free of stars in most of them should hold no more than noise
about the sky.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from tianyu.pipelines.science.arrays import FloatArray, FloatImage, IntArray, MaskImage
from tianyu.pipelines.science.footprints import Footprints

PATTERN_SIGMA = 4.0
"""Departures below this are left alone: subtracting them would add as much noise as it takes."""

FEWEST_LOOKS = 8
"""A pixel seen free of stars in fewer frames is not corrected: its mean would hold their light."""

STEPS_PER_ADU = 16
"""Pixels are kept as whole sixteenths of an ADU, as in stacks."""

MEMORY_BYTES = 10**9
"""What the frames of the pattern may occupy; it limits their number for large detectors."""

EFFICIENCY_LOSS = 1.09
"""Standard error of an interquartile mean over that of the mean, for normal noise."""

STRIP_ROWS = 64
"""Rows sorted at once."""

LEFT_OUT = int(np.iinfo(np.int16).max)
"""Stands for a pixel that is not looked at; it sorts last."""

StepImage: TypeAlias = NDArray[np.int16]


@dataclass(frozen=True)
class FixedPattern:
    """What to subtract from calibrated, sky-subtracted frames of one detector and exposure.

    Attributes
    ----------
    correction : ndarray of float32, shape (ny, nx)
        ADU; zero where nothing significant was seen.
    n_frames : int
        Frames it was made of.
    sigma : float
        Typical standard error of a pixel's mean, ADU.
    """

    correction: FloatImage
    n_frames: int
    sigma: float

    @property
    def fraction_corrected(self) -> float:
        """Fraction of the pixels that are corrected."""
        return np.count_nonzero(self.correction) / self.correction.size


@dataclass(frozen=True)
class PatternMethod:
    """Compiled functions that do the same as the plain ones here.

    Attributes
    ----------
    keep, correct : callable
        As of :mod:`tianyu.pipelines.science.kernels.pattern`.
    """

    keep: Callable[..., None]
    correct: Callable[..., None]


class PatternFrames:
    """Frames of a night without their stars, in detector coordinates.

    They are kept as 16-bit sixteenths of an ADU, half of what floats need; what departs by more
    than 2047 ADU is no warm pixel but a broken one.

    Parameters
    ----------
    n_frames : int
        To be added, at most.
    shape : (int, int)
        ``(ny, nx)`` of the frames.
    method : PatternMethod, optional
        Compiled functions.
    """

    def __init__(
        self, n_frames: int, shape: tuple[int, int], method: PatternMethod | None = None
    ) -> None:
        self._values = np.empty((n_frames, *shape), np.int16)
        self._variance = 0.0
        self._n_frames = 0
        self._method = method

    def add(self, pixels: FloatImage, mask: MaskImage, stars: Footprints, sky_rms: float) -> None:
        """Add a frame.

        Parameters
        ----------
        pixels : ndarray of float32, shape (ny, nx)
            Calibrated and sky-subtracted, ADU.
        mask : ndarray of uint8, shape (ny, nx)
            Non-zero where a pixel has no trustworthy value.
        stars : Footprints
            Pixels with their light are left out.
        sky_rms : float
            Scatter of a sky pixel of this frame, ADU.
        """
        values = self._values[self._n_frames]
        if self._method is not None:
            pixels, mask = np.ascontiguousarray(pixels, np.float32), np.ascontiguousarray(mask)
            columns = (np.asarray(c, np.float64) for c in (stars.x, stars.y, stars.radius))
            self._method.keep(pixels, mask, *columns, float(STEPS_PER_ADU), values)
        else:
            _keep(pixels, mask, stars, values)
        self._variance += sky_rms**2
        self._n_frames += 1

    def pattern(self, n_sigma: float = PATTERN_SIGMA) -> FixedPattern:
        """Return what is significant of the interquartile means of the pixels.

        The mean of the central half knows nothing of cosmic rays, and little of stars that no
        footprint covered (they are many where the night drifted beyond its template); its
        standard error is 1.09 times that of the plain mean.

        Parameters
        ----------
        n_sigma : float
            Threshold in standard errors of the mean of a pixel.

        Returns
        -------
        FixedPattern
            All zero when fewer than `FEWEST_LOOKS` frames were added.
        """
        noise = math.sqrt(self._variance / max(self._n_frames, 1))
        values = self._values[: self._n_frames]
        counts = np.arange(self._n_frames + 1)
        least = n_sigma * EFFICIENCY_LOSS * noise / np.sqrt(np.maximum(counts, 1))
        least[:FEWEST_LOOKS] = np.inf
        correction = np.zeros(values.shape[1:], np.float32)
        if self._method is not None:
            self._method.correct(values, least, float(STEPS_PER_ADU), correction)
        else:
            _correct(values, least, correction)
        sigma = EFFICIENCY_LOSS * noise / math.sqrt(max(self._n_frames, 1))
        return FixedPattern(correction, self._n_frames, sigma)


def frames_that_fit(shape: tuple[int, int], memory_bytes: int = MEMORY_BYTES) -> int:
    """Return how many frames of a shape ``(ny, nx)`` may be kept at once.

    Examples
    --------
    >>> frames_that_fit((2048, 2048)), frames_that_fit((6388, 9576))
    (119, 8)
    """
    return memory_bytes // (2 * shape[0] * shape[1])


def _keep(pixels: FloatImage, mask: MaskImage, stars: Footprints, values: StepImage) -> None:
    """Write a frame in steps, and what says that a pixel is left out."""
    limit = LEFT_OUT - 1
    use = (mask == 0) & ~stars.covered((mask.shape[0], mask.shape[1])) & ~np.isnan(pixels)
    whole = np.rint(np.clip(pixels * np.float32(STEPS_PER_ADU), -limit, limit))
    values[...] = LEFT_OUT
    np.copyto(values, whole, where=use, casting="unsafe")


def _correct(values: StepImage, least: FloatArray, correction: FloatImage) -> None:
    """Write the means that exceed the least one for the number of frames behind them."""
    for row in range(0, correction.shape[0], STRIP_ROWS):
        strip = slice(row, row + STRIP_ROWS)
        mean, count = _central_mean(values[:, strip])
        correction[strip] = np.where(np.abs(mean) > least[count], mean, 0.0)


def _central_mean(values: StepImage) -> tuple[FloatArray, IntArray]:
    """Mean of the central half of each pixel's values, ADU, and how many it has in all."""
    ordered = np.sort(values, axis=0)  # what is left out comes last
    count = np.count_nonzero(ordered != LEFT_OUT, axis=0)
    first, last = count // 4, count - count // 4
    place = np.arange(len(ordered))[:, None, None]
    central = (place >= first) & (place < last)
    total = np.where(central, ordered, 0).sum(axis=0, dtype=np.int64)
    return total / (np.maximum(last - first, 1) * STEPS_PER_ADU), count
