"""Choose the reference frame of a night, the canvas that holds its drift, and first limits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.selection import (
    MIN_TRANSPARENCY,
    FrameMetrics,
    sigma_clip_limits,
)
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.transform import AffineTransform

MAX_CANDIDATES = 9
"""Frames that are read before all others; so many find a good one through patchy cloud."""
MAX_CANVAS = 1.5
"""Largest canvas over frame, per axis: bounds the memory of stacks on a drifting mount."""
PROVISIONAL_SIGMA = 5.0
"""Provisional limits in σ of the spaced frames. A frame misjudged good costs one more reading,
like one misjudged bad; good frames are many, so the limits are generous."""
PROVISIONAL_FRACTION = 0.25
"""Departure from the median that is always let through: nine frames underestimate the scatter
of a night, with its airmass and its moon."""


@dataclass(frozen=True)
class ProvisionalLimits:
    """Limits by which frames enter the partial stacks before the night is known.

    Only a guess of what :func:`~tianyu.pipelines.science.selection.select_frames` will say: a
    frame judged otherwise in the end is added to the stack, or subtracted, then.

    Parameters
    ----------
    min_stars, max_stars : float
        Bounds on the number of stars above the night's threshold.
    max_sky_rms : float
        Upper bound on the sky's rms, in the unit of the frames it was derived from.
    min_transparency : float
        Lower bound on flux over the reference frame's.
    """

    min_stars: float
    max_stars: float
    max_sky_rms: float
    min_transparency: float = MIN_TRANSPARENCY

    @classmethod
    def from_metrics(cls, metrics: FrameMetrics) -> "ProvisionalLimits":
        """Derive limits from the spaced frames, the cloudy and unaligned ones left out.

        Parameters
        ----------
        metrics : FrameMetrics
            Metrics of the spaced frames; no limits but the transparency's without a good one.
        """
        good = metrics.aligned & ~(metrics.transparency < MIN_TRANSPARENCY)
        fewest, most = _generous(metrics.n_stars[good])
        return cls(
            min_stars=fewest, max_stars=most, max_sky_rms=_generous(metrics.sky_rms[good])[1]
        )

    def is_good(
        self, *, n_stars: float, sky_rms: float, transparency: float, aligned: bool = True
    ) -> bool:
        """Whether a frame enters the partial stack; NaN never does."""
        return (
            aligned
            and self.min_stars <= n_stars <= self.max_stars
            and sky_rms <= self.max_sky_rms
            and transparency >= self.min_transparency
        )


def _generous(values: FloatArray) -> tuple[float, float]:
    """Range about the median, by the scatter but never narrower than a fraction of it."""
    limits = sigma_clip_limits(values, lower_sigma=PROVISIONAL_SIGMA, upper_sigma=PROVISIONAL_SIGMA)
    if not np.isfinite(limits.centre):
        return 0.0, np.inf
    reach = max(PROVISIONAL_SIGMA * limits.sigma, PROVISIONAL_FRACTION * abs(limits.centre))
    return limits.centre - reach, limits.centre + reach


def spaced(n: int, at_most: int = MAX_CANDIDATES) -> list[int]:
    """Return indices spread evenly over ``n`` frames, the first and the last among them.

    Parameters
    ----------
    n : int
        Number of frames, in order of time.
    at_most : int, optional
        Number of indices wanted, at least 1.

    Returns
    -------
    list of int
        Increasing, without repetition; all frames when there are no more than ``at_most``.

    Raises
    ------
    ValueError
        If ``n`` is negative or ``at_most`` is not positive.

    Examples
    --------
    >>> spaced(101, at_most=5), spaced(3), spaced(0)
    ([0, 25, 50, 75, 100], [0, 1, 2], [])
    """
    if n < 0 or at_most < 1:
        raise ValueError(f"cannot spread {at_most} indices over {n} frames")
    if at_most == 1 and n:
        return [(n - 1) // 2]
    return [round(float(k)) for k in np.linspace(0, n - 1, min(n, at_most))]


def choose_reference(candidates: Sequence[StarList]) -> int:
    """Return the index of the candidate with most stars.

    Of equal counts the sharper frame is taken, of equally sharp ones the first.

    Parameters
    ----------
    candidates : sequence of StarList
        Star lists of spaced frames, all counted at one threshold.

    Returns
    -------
    int
        Index into ``candidates``.

    Raises
    ------
    ValueError
        If there is no candidate, or their counts are at different thresholds.
    """
    if not candidates:
        raise ValueError("no candidates to choose a reference frame from")
    thresholds = {stars.threshold_sigma for stars in candidates}
    if len(thresholds) > 1:
        raise ValueError(f"star counts at different thresholds do not compare: {thresholds}")
    fwhm = [np.nan_to_num(stars.fwhm_pix_median, nan=np.inf) for stars in candidates]
    return min(range(len(candidates)), key=lambda k: (-candidates[k].n_detected, fwhm[k], k))


def drift_bounds(
    transforms: Sequence[AffineTransform],
    shape: tuple[int, int],
    *,
    max_canvas: float = MAX_CANVAS,
) -> tuple[int, int, int, int]:
    """Return the box, in reference pixels, that holds the footprints of all frames.

    Parameters
    ----------
    transforms : sequence of AffineTransform
        Maps from reference pixels to the pixels of the spaced frames; whether with the half
        turn of flipped frames or without, they cover the same pixels.
    shape : tuple of int
        ``(ny, nx)`` of every frame, the reference included.
    max_canvas : float, optional
        Largest width and height of the box over the frame's; at least 1.

    Returns
    -------
    x0, y0, width, height : int
        Pixel (0, 0) of the box is pixel (x0, y0) of the reference. The box holds the whole
        reference frame; where the cap bites, both sides give in proportion to their excess.

    Raises
    ------
    ValueError
        If ``max_canvas`` is below 1.

    Examples
    --------
    >>> moved = AffineTransform.translation(-30.0, 12.0)  # its pixel 0 is pixel 30 of the reference
    >>> drift_bounds([AffineTransform.identity(), moved], (400, 500))
    (0, -12, 530, 412)
    """
    if max_canvas < 1.0:
        raise ValueError(f"the canvas must hold the reference frame, got max_canvas {max_canvas}")
    ny, nx = shape
    corner_x = np.array([0.0, nx - 1.0, 0.0, nx - 1.0])
    corner_y = np.array([0.0, 0.0, ny - 1.0, ny - 1.0])
    corners = [(corner_x, corner_y)]
    corners += [transform.inverse().apply(corner_x, corner_y) for transform in transforms]
    all_x, all_y = np.concatenate(corners, axis=1)
    x0, width = _capped(float(all_x.min()), float(all_x.max()), nx, max_canvas)
    y0, height = _capped(float(all_y.min()), float(all_y.max()), ny, max_canvas)
    return x0, y0, width, height


def _capped(lowest: float, highest: float, size: int, max_canvas: float) -> tuple[int, int]:
    """Start and length of one axis of the canvas, cut to ``max_canvas`` times ``size``."""
    # Stacks move frames by whole pixels, so a fraction of a pixel needs no canvas.
    before, after = round(-lowest), round(highest) - (size - 1)
    allowed = int(size * max_canvas) - size
    if before + after > allowed:
        before = round(before * allowed / (before + after))
        after = allowed - before
    return -before, size + before + after
