"""Master flat: the relative response of every pixel, from twilight or dome flats.

A pixel that is not finite in one of the flats is NaN in the master.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatArray, FloatImage
from tianyu.pipelines.science.clipping import CLIP_SIGMA, LEAST_FRAMES_TO_CLIP, near_median
from tianyu.pipelines.science.masterplanes import LOWEST_FLAT
from tianyu.pipelines.science.strips import STRIP_ROWS, RowReader, read_strip, strips

TWILIGHT_LEVEL_RATIO = 1.25
"""Brightest over faintest flat from which they were taken on a changing sky.

A lamp is steady to a few per cent; a twilight sky changes by this factor in about a minute.
"""

LEAST_FRAMES_FOR_MODE = 3
"""Below three frames median and mean are one, and so is the mode made of them."""

LEAST_FRAMES_FOR_CLIPPED_MEAN = 5
"""Stars may touch two of a pixel's values and three still tell its level and noise."""


class FlatMethod(StrEnum):
    """How the frames of a master flat are combined."""

    MODE = "mode"
    """``3·median − 2·mean``, the published choice for twilight flats; 1.7–2.4 × noisier.

    It is right where every value is skewed alike. A star in one frame only shifts it by minus
    twice what it shifts the mean.
    """
    CLIPPED_MEAN = "clipped_mean"
    """Weighted mean of the values within 5σ of their pixel's median: free of isolated stars.

    It has the noise of the mean, to a per cent or two.
    """
    WEIGHTED_MEAN = "weighted_mean"
    """Mean with the levels as weights: the least noise, for dome flats."""


@dataclass(frozen=True, eq=False)
class MasterFlat:
    """A master flat and how it was made.

    Attributes
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Relative response; its mean over the good pixels is 1.
    method : FlatMethod
        How the frames were combined.
    levels : ndarray of float64, shape (n_frames,)
        Mean of each debiased flat, ADU.
    n_frames : int
        Number of flats combined.
    """

    pixels: FloatImage
    method: FlatMethod
    levels: FloatArray
    n_frames: int


def flat_levels(
    flats: Sequence[RowReader],
    shape: tuple[int, int],
    *,
    bias: FloatImage | None = None,
    dark: FloatImage | None = None,
    dark_scales: FloatArray | None = None,
    strip_rows: int = STRIP_ROWS,
) -> FloatArray:
    """Mean ⟨F̃ᵢ⟩ of each debiased flat over its finite pixels, ADU, shape ``(n_frames,)``.

    Parameters and exceptions are those of :func:`master_flat`.
    """
    total, n_good = np.zeros(len(flats)), np.zeros(len(flats))
    for rows in strips(shape[0], strip_rows):
        debiased = _debiased_strip(flats, rows, shape[1], bias, dark, dark_scales)
        finite = np.isfinite(debiased)
        total += np.sum(debiased, axis=(1, 2), where=finite, dtype=np.float64)
        n_good += finite.sum(axis=(1, 2))
    return total / np.maximum(n_good, 1)


def choose_flat_method(
    levels: FloatArray, exposures_s: FloatArray | None = None, *, are_twilight: bool | None = None
) -> FlatMethod:
    """Choose by what lit the flats: those of the twilight hold stars, those of a dome do not.

    Where nobody says what it was, it shows in how much the light changes.

    A star s times as bright as the sky, in one of n twilight flats, leaves −2s/n in Pearson's
    mode, the published choice [1]_; the clipped mean leaves hardly anything of it at half the
    noise. But a clip needs clean values in the majority: where stars touch two of a pixel's
    three or four, nothing is clipped. There neither is right, and the published choice stays.

    Parameters
    ----------
    levels : ndarray, shape (n_frames,)
        Mean of each debiased flat, ADU.
    exposures_s : ndarray, shape (n_frames,), optional
        Exposure times, s. With them the light is compared per second: twilight flats are
        often exposed longer and longer to one level.
    are_twilight : bool, optional
        What headers or names say.

    Returns
    -------
    FlatMethod
        For twilight flats, stated or by a light that changes by a factor of 1.25 or more,
        ``CLIPPED_MEAN`` from five frames on and ``MODE`` of three or four; else
        ``WEIGHTED_MEAN``.

    References
    ----------
    .. [1] arXiv 2505.09107, section on calibration.

    Examples
    --------
    >>> choose_flat_method(np.array([17832.0, 18525.0, 18610.0])).value
    'weighted_mean'
    >>> same_level = np.full(5, 20000.0)
    >>> choose_flat_method(same_level, np.array([1.0, 1.6, 2.7, 4.4, 7.0])).value
    'clipped_mean'
    """
    light = np.asarray(levels) if exposures_s is None else np.asarray(levels) / exposures_s
    if are_twilight is None:
        are_twilight = light.size > 0 and light.max() >= TWILIGHT_LEVEL_RATIO * light.min()
    if not are_twilight or light.size < LEAST_FRAMES_FOR_MODE:
        return FlatMethod.WEIGHTED_MEAN
    many = light.size >= LEAST_FRAMES_FOR_CLIPPED_MEAN
    return FlatMethod.CLIPPED_MEAN if many else FlatMethod.MODE


def master_flat(
    flats: Sequence[RowReader],
    shape: tuple[int, int],
    *,
    method: FlatMethod,
    levels: FloatArray | None = None,
    bias: FloatImage | None = None,
    dark: FloatImage | None = None,
    dark_scales: FloatArray | None = None,
    strip_rows: int = STRIP_ROWS,
) -> MasterFlat:
    """Combine flats: F̃ᵢ = Fᵢ − B − tᵢD, F̂ᵢ = F̃ᵢ/⟨F̃ᵢ⟩, then mean or mode [1]_.

    Parameters
    ----------
    flats : sequence of RowReader
        Readers of the raw flats.
    shape : tuple of int
        ``(ny, nx)`` of the flats.
    method : FlatMethod
        As from :func:`choose_flat_method`.
    levels : ndarray, shape (n_frames,), optional
        ⟨F̃ᵢ⟩, ADU, when known; measured by one more pass over the flats when not.
    bias : ndarray of float32, shape (ny, nx), optional
        Master bias, ADU.
    dark : ndarray of float32, shape (ny, nx), optional
        Master dark, ADU; without its bias when `bias` is given.
    dark_scales : ndarray, shape (n_frames,), optional
        tᵢ: exposure of each flat over that of the dark; 1 when not given.
    strip_rows : int
        Rows of all flats held in memory at once.

    Returns
    -------
    MasterFlat
        Mean 1 over the good pixels; NaN where any flat is not finite.

    Raises
    ------
    UnusableDataError
        If there is no flat, a flat has no light in it, or shapes differ.

    References
    ----------
    .. [1] arXiv 2505.09107, section on calibration; the mode is Pearson's,
       ``3·median − 2·mean``.
    """
    if levels is None:
        levels = flat_levels(
            flats, shape, bias=bias, dark=dark, dark_scales=dark_scales, strip_rows=strip_rows
        )
    _require_light(flats, levels)
    combined = np.empty(shape, np.float32)
    for rows in strips(shape[0], strip_rows):
        debiased = _debiased_strip(flats, rows, shape[1], bias, dark, dark_scales)
        combined[rows] = _combine_flats(debiased, levels, method)
    return MasterFlat(_normalised(combined), method, levels, len(flats))


def _debiased_strip(
    flats: Sequence[RowReader],
    rows: slice,
    width: int,
    bias: FloatImage | None,
    dark: FloatImage | None,
    dark_scales: FloatArray | None,
) -> FloatImage:
    """Return ``Fᵢ − B − tᵢD`` of some rows, shape ``(n_frames, n_rows, width)``."""
    values = read_strip(flats, rows, width)
    if bias is not None:
        values -= bias[rows]
    if dark is not None:
        scales = np.ones(len(flats)) if dark_scales is None else np.asarray(dark_scales)
        values -= scales.astype(np.float32)[:, None, None] * dark[rows]
    return values


def _require_light(flats: Sequence[RowReader], levels: FloatArray) -> None:
    if len(levels) != len(flats) or not flats:
        raise UnusableDataError(f"{len(levels)} levels for {len(flats)} flats: give one for each")
    for number, level in enumerate(levels, start=1):
        if not level > 0 or not np.isfinite(level):
            raise UnusableDataError(
                f"flat {number} has a mean of {level:.6g} ADU above the bias: it holds no light, "
                "take it out of the observation"
            )


def _combine_flats(debiased: FloatImage, levels: FloatArray, method: FlatMethod) -> FloatImage:
    if method is FlatMethod.WEIGHTED_MEAN:
        # Σ⟨F̃ᵢ⟩·F̂ᵢ / Σ⟨F̃ᵢ⟩ with F̂ᵢ = F̃ᵢ/⟨F̃ᵢ⟩: the weights cancel.
        mean: FloatImage = debiased.sum(axis=0, dtype=np.float64) / levels.sum()
        return mean
    weights = levels.astype(np.float32)[:, None, None]
    normalised = debiased / weights
    if method is FlatMethod.CLIPPED_MEAN:
        clip = len(levels) >= LEAST_FRAMES_TO_CLIP
        weights = weights * (near_median(normalised, CLIP_SIGMA) if clip else 1.0)
        clipped: FloatImage = (weights * normalised).sum(axis=0) / weights.sum(axis=0)
        return clipped
    mode: FloatImage = 3 * np.median(normalised, axis=0) - 2 * normalised.mean(axis=0)
    return mode


def _normalised(flat: FloatImage) -> FloatImage:
    good = np.isfinite(flat) & (flat > LOWEST_FLAT)
    if not good.any():
        raise UnusableDataError("the master flat has no positive pixel: check bias and flats")
    scaled = (flat / np.mean(flat, where=good, dtype=np.float64)).astype(np.float32)
    scaled[~np.isfinite(scaled)] = np.nan
    return scaled
