"""Master calibration frames: bias, dark, flat and the map of bad pixels.

Frames come as an iterable of images or, where all are needed at once, as readers of rows, so
that memory stays bounded however many frames there are. A pixel that is not finite in one of
the frames is NaN in the master.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import (
    AnyArray,
    BoolArray,
    FloatArray,
    FloatImage,
    MaskImage,
)
from tianyu.pipelines.science.calibrate import LOWEST_FLAT
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.sky import measure_sky

RowReader = Callable[[int, int], AnyArray]
"""Rows ``start`` to ``stop`` (exclusive) of one raw frame, shape ``(stop − start, nx)``."""

STRIP_ROWS = 64
"""Rows of all frames held at once: 10 MB for 20 frames of 2048 columns."""

TWILIGHT_LEVEL_RATIO = 1.25
"""Brightest over faintest flat from which they were taken on a changing sky.

A lamp is steady to a few per cent; a twilight sky changes by this factor in about a minute.
"""

LEAST_FRAMES_FOR_MODE = 3
"""Below three frames median and mean are one, and so is the mode made of them."""

CLIP_SIGMA = 5.0
"""Clipping threshold: normal noise loses one value in 1.7 million."""

_LEAST_FRAMES_TO_CLIP = 3
"""Of two values neither can be called the outlier."""

HOT_SIGMA = 20.0
"""Robust sigma of the master beyond which a pixel is bad.

With the usual handful of darks, the shot noise of such a dark current reaches the read-out
noise; what is warm below it is well subtracted by the dark.
"""

LARGEST_FLAT_DEPARTURE = 0.5
"""Response relative to its surroundings: a pixel off by more than this is damaged."""

_MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution in units of its median absolute deviation."""


class FlatMethod(StrEnum):
    """How the frames of a master flat are combined."""

    MODE = "mode"
    """``3·median − 2·mean``, the published choice for twilight flats; 2–2.5 × noisier.

    It is right where every value is skewed alike. A star in one frame only shifts it by minus
    twice what it shifts the mean.
    """
    CLIPPED_MEAN = "clipped_mean"
    """Weighted mean of the values within 5σ of their pixel's median: free of isolated stars.

    About 1.1 × the noise of the mean.
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


def mean_frame(frames: Iterable[AnyArray]) -> FloatImage:
    """Mean of bias or dark frames.

    Parameters
    ----------
    frames : iterable of ndarray, each of shape (ny, nx)
        Read one at a time; only their float64 sum is held, which is exact for integers.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        The mean; NaN where any frame is not finite.

    Raises
    ------
    UnusableDataError
        If there is no frame, or one of another shape.

    Examples
    --------
    >>> mean_frame([np.array([[10, 65535]], np.uint16), np.array([[13, 65535]], np.uint16)])
    array([[1.1500e+01, 6.5535e+04]], dtype=float32)
    """
    total: FloatArray | None = None
    n_frames = 0
    for n_frames, frame in enumerate(frames, start=1):
        if total is None:
            total = np.zeros(frame.shape)
        if frame.shape != total.shape or frame.ndim != 2:
            raise UnusableDataError(
                f"frame {n_frames} has shape {frame.shape}, the first {total.shape}: combine "
                "images of one read-out window and binning"
            )
        total += frame
    if total is None:
        raise UnusableDataError("no frames to average: register at least one")
    mean = (total / n_frames).astype(np.float32)
    mean[~np.isfinite(mean)] = np.nan
    return mean


def clipped_mean_frame(
    frames: Sequence[RowReader],
    shape: tuple[int, int],
    *,
    n_sigma: float = CLIP_SIGMA,
    strip_rows: int = STRIP_ROWS,
) -> FloatImage:
    """Mean without cosmic rays, for darks.

    A value is left out when it departs from the median of its pixel by more than `n_sigma`
    times the noise: the larger of the noise in its row and, for hot pixels, in the pixel.

    Parameters
    ----------
    frames : sequence of RowReader
        At least three; of fewer, the plain mean is returned.
    shape : tuple of int
        ``(ny, nx)`` of the frames.
    n_sigma : float
        Clipping threshold, standard deviations.
    strip_rows : int
        Rows held in memory at once.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        The clipped mean; NaN where any frame is not finite.

    Raises
    ------
    UnusableDataError
        If there is no frame, or a reader returns rows of another shape.
    """
    master = np.empty(shape, np.float32)
    for rows in _strips(shape[0], strip_rows):
        values = _read_strip(frames, rows, shape[1])
        kept = _near_median(values, n_sigma) if len(frames) >= _LEAST_FRAMES_TO_CLIP else True
        master[rows] = np.mean(values, axis=0, where=kept)
    return master


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
    for rows in _strips(shape[0], strip_rows):
        debiased = _debiased_strip(flats, rows, shape[1], bias, dark, dark_scales)
        finite = np.isfinite(debiased)
        total += np.sum(debiased, axis=(1, 2), where=finite, dtype=np.float64)
        n_good += finite.sum(axis=(1, 2))
    return total / np.maximum(n_good, 1)


def choose_flat_method(levels: FloatArray, exposures_s: FloatArray | None = None) -> FlatMethod:
    """Tell twilight flats from dome flats by how much the light changes.

    Parameters
    ----------
    levels : ndarray, shape (n_frames,)
        Mean of each debiased flat, ADU.
    exposures_s : ndarray, shape (n_frames,), optional
        Exposure times, s. With them the light is compared per second: twilight flats are
        often exposed longer and longer to one level.

    Returns
    -------
    FlatMethod
        ``MODE`` where the light changes by a factor of 1.25 or more and there are at least
        three frames, else ``WEIGHTED_MEAN``.

    Examples
    --------
    >>> choose_flat_method(np.array([17832.0, 18525.0, 18610.0])).value
    'weighted_mean'
    >>> same_level = np.full(4, 20000.0)
    >>> choose_flat_method(same_level, np.array([1.0, 1.6, 2.7, 4.4])).value
    'mode'
    """
    light = np.asarray(levels) if exposures_s is None else np.asarray(levels) / exposures_s
    steady = light.size == 0 or light.max() < TWILIGHT_LEVEL_RATIO * light.min()
    few = light.size < LEAST_FRAMES_FOR_MODE
    return FlatMethod.WEIGHTED_MEAN if steady or few else FlatMethod.MODE


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
    """Combine flats: F̃ᵢ = Fᵢ − B − tᵢD, F̂ᵢ = F̃ᵢ/⟨F̃ᵢ⟩, then mode or weighted mean [1]_.

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
    for rows in _strips(shape[0], strip_rows):
        debiased = _debiased_strip(flats, rows, shape[1], bias, dark, dark_scales)
        combined[rows] = _combine_flats(debiased, levels, method)
    return MasterFlat(_normalised(combined), method, levels, len(flats))


def bad_pixels(
    *,
    bias: FloatImage | None = None,
    dark: FloatImage | None = None,
    flat: FloatImage | None = None,
    n_sigma: float = HOT_SIGMA,
) -> MaskImage:
    """Map the pixels that calibration cannot mend.

    ``BAD`` where bias or dark depart from their surroundings by more than `n_sigma` robust
    standard deviations or are not finite, and where the response departs from that of the
    surroundings by more than half; ``NO_FLAT`` where the flat cannot be divided by.

    Parameters
    ----------
    bias, dark, flat : ndarray of float32, shape (ny, nx), optional
        Master frames, at least one of them; the dark without bias.
    n_sigma : float
        Threshold for bias and dark.

    Returns
    -------
    ndarray of uint8, shape (ny, nx)
        Bits of :class:`~tianyu.pipelines.science.masks.MaskBit`.

    Raises
    ------
    UnusableDataError
        If no frame is given, their shapes differ, or one holds no finite pixels.
    """
    given = [frame for frame in (bias, dark, flat) if frame is not None]
    shapes = {frame.shape for frame in given}
    if len(shapes) != 1:
        raise UnusableDataError(
            f"bad pixels need master frames of one shape, not shapes {sorted(shapes)}"
        )
    mask = np.zeros(shapes.pop(), np.uint8)
    for frame in (bias, dark):
        if frame is not None:
            mask[_outliers(frame, n_sigma)] |= np.uint8(MaskBit.BAD)
    if flat is not None:
        mask |= _flat_mask(flat)
    return mask


def _strips(n_rows: int, strip_rows: int) -> Iterator[slice]:
    for start in range(0, n_rows, strip_rows):
        yield slice(start, min(start + strip_rows, n_rows))


def _read_strip(frames: Sequence[RowReader], rows: slice, width: int) -> FloatImage:
    """Rows of all frames, NaN where not finite, shape ``(n_frames, n_rows, width)``."""
    if not frames:
        raise UnusableDataError("no frames to combine: register at least one")
    values = np.empty((len(frames), rows.stop - rows.start, width), np.float32)
    for number, read in enumerate(frames, start=1):
        strip = read(rows.start, rows.stop)
        if strip.shape != values.shape[1:]:
            raise UnusableDataError(
                f"rows {rows.start}–{rows.stop} of frame {number} have shape {strip.shape}, "
                f"expected {values.shape[1:]}: combine images of one read-out window and binning"
            )
        values[number - 1] = strip
    values[~np.isfinite(values)] = np.nan
    return values


def _debiased_strip(
    flats: Sequence[RowReader],
    rows: slice,
    width: int,
    bias: FloatImage | None,
    dark: FloatImage | None,
    dark_scales: FloatArray | None,
) -> FloatImage:
    """Return ``Fᵢ − B − tᵢD`` of some rows, shape ``(n_frames, n_rows, width)``."""
    values = _read_strip(flats, rows, width)
    if bias is not None:
        values -= bias[rows]
    if dark is not None:
        scales = np.ones(len(flats)) if dark_scales is None else np.asarray(dark_scales)
        values -= scales.astype(np.float32)[:, None, None] * dark[rows]
    return values


def _near_median(values: FloatImage, n_sigma: float) -> BoolArray:
    """Which values along the first axis are near the median of their pixel."""
    departure = np.abs(values - np.median(values, axis=0))
    # A handful of values says little about its own noise: at least that of the row, from
    # differences of successive frames. Rows, not strips: the strips' size must not matter.
    steps = np.nan_to_num(np.abs(np.diff(values, axis=0)))
    of_row = np.median(steps, axis=(0, 2), keepdims=True)[0] / np.sqrt(2)
    sigma = _MAD_TO_SIGMA * np.maximum(np.median(departure, axis=0), of_row)
    near: BoolArray = ~(departure > n_sigma * sigma)  # NaN counts as near, and shows in the mean
    return near


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
        clip = len(levels) >= _LEAST_FRAMES_TO_CLIP
        weights = weights * (_near_median(normalised, CLIP_SIGMA) if clip else 1.0)
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


def _outliers(frame: FloatImage, n_sigma: float) -> BoolArray:
    """Pixels far from their surroundings in units of the robust noise of the frame."""
    departure = np.abs(frame - measure_sky(frame).image())
    finite = np.isfinite(departure)
    sigma = _MAD_TO_SIGMA * np.median(departure[finite])
    outliers: BoolArray = ~finite | (departure > n_sigma * sigma)
    return outliers


def _flat_mask(flat: FloatImage) -> MaskImage:
    usable = np.isfinite(flat) & (flat > LOWEST_FLAT)
    surroundings = measure_sky(flat, np.where(usable, 0, 1).astype(np.uint8)).image()
    damaged = usable & (np.abs(flat - surroundings) > LARGEST_FLAT_DEPARTURE * surroundings)
    mask: MaskImage = np.where(usable, 0, MaskBit.NO_FLAT).astype(np.uint8)
    mask[damaged] |= np.uint8(MaskBit.BAD)
    return mask
