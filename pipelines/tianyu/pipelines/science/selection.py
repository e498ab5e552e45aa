"""Select the good frames of a night, and say of every other one why it is rejected."""

from dataclasses import dataclass
from enum import IntFlag

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, BoolArray, FloatArray

STAR_COUNT_SIGMA = 3.0
"""Clip on the number of stars, both sides: cloud and defocus lose stars, trails add some."""
MANY_STARS_FACTOR = 1.5
"""Better seeing adds stars too, and those are the best frames of a night: more stars are a fault
only beyond this multiple of the median, which doubled images and trails reach."""
SKY_RMS_SIGMA = 5.0
"""Clip on the sky's rms, upwards only: twilight, moonlight, light cloud; a dark sky is no fault."""
MIN_TRANSPARENCY = 0.5
"""Thin cloud that takes less than half of the light leaves relative photometry usable."""
MAX_ITERATIONS = 5
MIN_FRAMES = 5
"""Fewer frames than this have no scatter worth the name: nothing is clipped."""
SIGMA_PER_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


class RejectReason(IntFlag):
    """Tests that a frame failed; zero is a good frame."""

    NOT_ALIGNED = 1 << 0
    """The frame could not be aligned to the reference frame."""
    FEW_STARS = 1 << 1
    """Fewer stars than the other frames of the night."""
    MANY_STARS = 1 << 2
    """More stars than the other frames: doubled images, trails, noise taken for stars."""
    NOISY_SKY = 1 << 3
    """The sky's rms is above that of the other frames."""
    CLOUD = 1 << 4
    """The stars have lost light against the reference frame."""
    NOT_MEASURED = 1 << 5
    """Star count or sky rms is not finite."""
    BY_HAND = 1 << 6
    """A person rejected the frame."""


@dataclass(frozen=True, eq=False)
class FrameMetrics:
    """What the selection looks at; all arrays of shape ``(n,)``, one value per frame.

    Parameters
    ----------
    n_stars : ndarray
        Stars above the night's threshold (:attr:`StarList.n_detected`).
    sky_rms : ndarray
        Noise of the sky, in one unit for all frames.
    transparency : ndarray
        Flux over the reference frame's; NaN where it is not known, as for frames that could
        not be aligned.
    aligned : ndarray of bool
        Whether the frame was aligned.
    """

    n_stars: FloatArray
    sky_rms: FloatArray
    transparency: FloatArray
    aligned: BoolArray

    def __post_init__(self) -> None:
        for name, kind in (("n_stars", float), ("sky_rms", float), ("transparency", float)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=kind))
        object.__setattr__(self, "aligned", np.asarray(self.aligned, dtype=np.bool_))
        columns: list[AnyArray] = [self.n_stars, self.sky_rms, self.transparency, self.aligned]
        if {column.shape for column in columns} != {(len(self.n_stars),)}:
            raise ValueError(
                "the metrics of the frames must be 1-d and equally long, got shapes "
                f"{[column.shape for column in columns]}"
            )

    def __len__(self) -> int:
        return len(self.n_stars)


@dataclass(frozen=True)
class Verdict:
    """Whether a frame is good, and if not, which tests rejected it and by how much.

    Parameters
    ----------
    reasons : RejectReason
        Failed tests; zero for a good frame.
    text : str
        One clause per failed test, separated by ``"; "``; empty for a good frame.
    """

    reasons: RejectReason
    text: str

    @property
    def is_good(self) -> bool:
        """Whether no test rejected the frame."""
        return not self.reasons


def overrule(verdict: Verdict, *, is_good: bool, why: str, is_aligned: bool) -> Verdict:
    """Put a person's word above the tests.

    The tests of the other frames are not touched: what is rejected by hand still counts for the
    clips, so that one word changes one verdict.

    Parameters
    ----------
    verdict : Verdict
        Of the tests.
    is_good : bool
        What the person said.
    why : str
        Who said it and why.
    is_aligned : bool
        A frame that is not aligned cannot be used, whoever asks for it.

    Examples
    --------
    >>> cloud = Verdict(RejectReason.CLOUD, "transparency 0.31, below 0.50")
    >>> overrule(cloud, is_good=True, why="accepted by ann", is_aligned=True).text
    'accepted by ann, against: transparency 0.31, below 0.50'
    >>> overrule(Verdict(RejectReason(0), ""), is_good=False, why="rejected by ann: trail",
    ...          is_aligned=True).text
    'rejected by ann: trail'
    """
    if is_good and not is_aligned:
        return Verdict(verdict.reasons, f"{verdict.text}; {why}, but it is not aligned")
    if is_good:
        return Verdict(RejectReason(0), f"{why}, against: {verdict.text}" if verdict.text else why)
    reasons = verdict.reasons | RejectReason.BY_HAND
    return Verdict(reasons, f"{why}; {verdict.text}" if verdict.text else why)


@dataclass(frozen=True)
class ClipLimits:
    """Outcome of a sigma clip: what lies outside ``[lower, upper]`` is rejected.

    Parameters
    ----------
    centre, sigma : float
        Median, and 1.4826 times the median absolute deviation, of the values that were kept;
        ``sigma`` is 0 when the clip was skipped.
    lower, upper : float
        Limits; infinite on a side that is not clipped.
    """

    centre: float
    sigma: float
    lower: float
    upper: float

    def outside(self, values: FloatArray) -> BoolArray:
        """Whether each value is rejected; NaN is not, there is nothing to compare."""
        return np.asarray((values < self.lower) | (values > self.upper), dtype=np.bool_)


def sigma_clip_limits(
    values: FloatArray, *, lower_sigma: float = np.inf, upper_sigma: float = np.inf
) -> ClipLimits:
    """Clip repeatedly about the median, and return the limits of the last round.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Values in any order; those that are not finite are left out.
    lower_sigma, upper_sigma : float, optional
        Limits in σ below and above the median; infinite for a side that is not clipped.

    Returns
    -------
    ClipLimits
        Limits of ``±inf`` when there are fewer than five values or their MAD is 0: without a
        scatter nothing can be an outlier.

    Examples
    --------
    >>> limits = sigma_clip_limits(np.array([10.0, 11, 12, 13, 14, 40]), upper_sigma=5)
    >>> limits.centre, round(limits.upper, 3)
    (12.0, 19.413)
    """
    kept = values[np.isfinite(values)]
    limits = ClipLimits(_median(kept), 0.0, -np.inf, np.inf)
    for _ in range(MAX_ITERATIONS):
        centre = _median(kept)
        sigma = SIGMA_PER_MAD * _median(np.abs(kept - centre))
        if len(kept) < MIN_FRAMES or sigma == 0.0:
            break
        lower, upper = centre - lower_sigma * sigma, centre + upper_sigma * sigma
        limits = ClipLimits(centre, sigma, lower, upper)
        inside = kept[~limits.outside(kept)]
        if len(inside) == len(kept):
            break
        kept = inside
    return limits


def select_frames(
    metrics: FrameMetrics,
    *,
    star_count_sigma: float = STAR_COUNT_SIGMA,
    sky_rms_sigma: float = SKY_RMS_SIGMA,
    min_transparency: float = MIN_TRANSPARENCY,
) -> list[Verdict]:
    """Judge the frames of one night.

    Parameters
    ----------
    metrics : FrameMetrics
        Metrics of all frames of the night, in any order.
    star_count_sigma : float, optional
        Clip on the number of stars, on both sides.
    sky_rms_sigma : float, optional
        Clip on the sky's rms, upwards.
    min_transparency : float, optional
        Transparency below which a frame is cloud.

    Returns
    -------
    list of Verdict
        One per frame, in the order given; a frame's verdict does not depend on that order.

    Notes
    -----
    A frame that could not be aligned still counts for the clips: its stars and its sky were
    measured like the others'.

    Examples
    --------
    >>> metrics = FrameMetrics(
    ...     n_stars=np.array([100.0, 102, 98, 101, 99, 40]),
    ...     sky_rms=np.full(6, 5.0),
    ...     transparency=np.array([1.0, 1, 1, 1, 1, 0.31]),
    ...     aligned=np.full(6, True),
    ... )
    >>> select_frames(metrics)[5].text
    '40 stars, 40.5σ below the median of 100; transparency 0.31, below 0.50'
    """
    counts = sigma_clip_limits(
        metrics.n_stars, lower_sigma=star_count_sigma, upper_sigma=star_count_sigma
    )
    noise = sigma_clip_limits(metrics.sky_rms, upper_sigma=sky_rms_sigma)
    return [
        _judge(metrics, frame, counts, noise, min_transparency) for frame in range(len(metrics))
    ]


def _judge(
    metrics: FrameMetrics,
    frame: int,
    counts: ClipLimits,
    noise: ClipLimits,
    min_transparency: float,
) -> Verdict:
    n_stars, rms = float(metrics.n_stars[frame]), float(metrics.sky_rms[frame])
    transparency = float(metrics.transparency[frame])
    failed: dict[RejectReason, str] = {}
    if not metrics.aligned[frame]:
        failed[RejectReason.NOT_ALIGNED] = "not aligned to the reference frame"
    if n_stars < counts.lower:
        failed[RejectReason.FEW_STARS] = f"{n_stars:.0f} stars, {_departure(n_stars, counts, 'g')}"
    if n_stars > max(counts.upper, MANY_STARS_FACTOR * counts.centre):
        failed[RejectReason.MANY_STARS] = f"{n_stars:.0f} stars, {_departure(n_stars, counts, 'g')}"
    if rms > noise.upper:
        failed[RejectReason.NOISY_SKY] = f"sky rms {rms:.2f}, {_departure(rms, noise, '.2f')}"
    if transparency < min_transparency:
        failed[RejectReason.CLOUD] = (
            f"transparency {transparency:.2f}, below {min_transparency:.2f}"
        )
    if not (np.isfinite(n_stars) and np.isfinite(rms)):
        failed[RejectReason.NOT_MEASURED] = f"star count {n_stars:g} or sky rms {rms:g} not finite"
    return Verdict(RejectReason(sum(failed)), "; ".join(failed.values()))


def _departure(value: float, limits: ClipLimits, spec: str) -> str:
    """Say by how many σ a value lies off the median, and on which side."""
    departure = (value - limits.centre) / limits.sigma
    side = "above" if departure > 0.0 else "below"
    return f"{abs(departure):.1f}σ {side} the median of {limits.centre:{spec}}"


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if values.size else float("nan")
