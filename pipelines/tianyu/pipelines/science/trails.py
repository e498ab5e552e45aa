"""Straight trails of satellites, aeroplanes and meteors across a single frame.

::

    stars left out ─► blocks of pixels ─► bright blocks vote for lines ─► each line is followed,
    piece by piece ─► masked as far as it is seen

Votes alone would find lines of chance stars. A line is therefore followed on the pixels: it is
cut into pieces, and most of them must be brighter than what lies beside them, all at one place
across the line. The median of a piece does not see a star in it.
"""

import math
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, FloatImage
from tianyu.pipelines.science.lines import Line, propose_lines
from tianyu.pipelines.science.linestrip import (
    MOST_SIGMA,
    PIECE_SIGMA,
    Strip,
    brightest_course,
    cut_strip,
)
from tianyu.pipelines.science.scatter import mad_sigma

BLOCK_SIGMA = 2.5
"""Blocks brighter than this vote."""

MOST_VOTERS = 2000
"""The brightest blocks; more would cost time, and a trail needs a few dozen."""

MOST_LINES = 6
"""Proposals that are followed; frames with more trails are lost anyway."""

FEWEST_BRIGHT = 6
BRIGHT_FRACTION = 0.7
"""Of the pieces of a trail, and how many at least."""

LEAST_LENGTH = 0.25
"""Of the shorter side of the frame: shorter streaks are spikes and bleeding of bright stars."""

AXIS_DEG = 0.25
"""Lines nearer to a row or column are of the detector, or of full pixels that bleed."""

RIM_SIGMA = 0.15
"""Noise of a pixel: the mask of a trail ends where less of its light is left."""


@dataclass(frozen=True)
class Trail:
    """One trail.

    Attributes
    ----------
    line : Line
        Its middle, in pixels about (0, 0) of the frame.
    start, stop : float
        Where it is seen along the line, from the foot of the perpendicular from (0, 0), pixels.
    half_width : float
        Of what is to be masked, pixels.
    snr : float
        Mean brightness of its pieces over their noise, each counted as `MOST_SIGMA` at most.
    """

    line: Line
    start: float
    stop: float
    half_width: float
    snr: float

    def mask(self, shape: tuple[int, int]) -> BoolArray:
        """Pixels of a frame of shape ``(ny, nx)`` that the trail covers."""
        y, x = np.ogrid[: shape[0], : shape[1]]
        cosine, sine = math.cos(self.line.angle), math.sin(self.line.angle)
        along, across = y * cosine - x * sine, x * cosine + y * sine - self.line.distance
        seen = (along >= self.start) & (along <= self.stop)
        return np.asarray(seen & (np.abs(across) <= self.half_width))


def find_trails(
    pixels: FloatImage, usable: BoolArray, *, sky_rms: float, fwhm_pix: float
) -> list[Trail]:
    """Find the trails of a frame.

    Parameters
    ----------
    pixels : ndarray of float32, shape (ny, nx)
        Sky-subtracted, ADU.
    usable : ndarray of bool, shape (ny, nx)
        False under known stars and where a pixel has no trustworthy value.
    sky_rms : float
        Scatter of a sky pixel, ADU.
    fwhm_pix : float
        Width of the stars, which a trail has too.

    Returns
    -------
    list of Trail

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> frame = rng.normal(0.0, 5.0, (256, 256)).astype(np.float32)
    >>> y, x = np.mgrid[:256, :256]
    >>> frame[abs(y - 40 - 0.5 * x) < 2] += 10.0
    >>> [trail] = find_trails(frame, np.ones((256, 256), bool), sky_rms=5.0, fwhm_pix=3.0)
    >>> bool(trail.mask((256, 256))[90, 100])
    True
    """
    block = max(2, round(fwhm_pix))
    trails: list[Trail] = []
    for line in _proposals(pixels, usable, sky_rms, block)[:MOST_LINES]:
        trail = _follow(pixels, usable, line, sky_rms, fwhm_pix)
        if trail is not None:
            trails.append(trail)
            # No other line is to be found on its light.
            usable = usable & ~trail.mask((pixels.shape[0], pixels.shape[1]))
    return trails


def _proposals(pixels: FloatImage, usable: BoolArray, sky_rms: float, block: int) -> list[Line]:
    """Lines of bright blocks, in pixels about (0, 0)."""
    ny, nx = (n // block for n in pixels.shape)
    cut = (slice(ny * block), slice(nx * block))
    shape = (ny, block, nx, block)
    good = usable[cut].reshape(shape)
    count = good.sum(axis=(1, 3))
    light = np.where(good, pixels[cut].reshape(shape), np.float32(0)).sum(axis=(1, 3))
    has_enough = 2 * count >= block**2
    height = np.where(has_enough, light / (sky_rms * np.sqrt(np.maximum(count, 1))), np.nan)
    # What is left of stars and of the detector is noise here.
    height /= max(1.0, float(mad_sigma(height[has_enough]))) if has_enough.any() else 1.0
    bright = np.argwhere(np.nan_to_num(height) > BLOCK_SIGMA)
    if len(bright) > MOST_VOTERS:
        brightest = np.argsort(-height[tuple(bright.T)], kind="stable")[:MOST_VOTERS]
        bright = bright[brightest]
    middle = np.array([(ny - 1) / 2.0, (nx - 1) / 2.0])
    y, x = (bright - middle).T
    lines = propose_lines(x, y, int(has_enough.sum()), float(np.hypot(*middle)) + 1.0)
    origin = block * middle + (block - 1) / 2.0
    return [
        Line(
            line.angle,
            block * line.distance
            + origin[1] * math.cos(line.angle)
            + origin[0] * math.sin(line.angle),
        )
        for line in lines
        if _axis_distance_deg(line.angle) > AXIS_DEG
    ]


def _axis_distance_deg(angle: float) -> float:
    off = math.degrees(angle) % 90.0
    return min(off, 90.0 - off)


def _follow(
    pixels: FloatImage, usable: BoolArray, line: Line, sky_rms: float, fwhm_pix: float
) -> Trail | None:
    """Return the trail along a proposed line, if there is one."""
    width = max(1, round(fwhm_pix / 2.0))
    reach = math.ceil(6.0 * fwhm_pix)
    strip = cut_strip(pixels, usable, line, sky_rms, reach)
    if strip is None:
        return None
    snr, place = brightest_course(strip, width, reach)
    first, last = _longest_stretch(snr)
    seen = snr[first : last + 1]
    n_bright = np.count_nonzero(seen > PIECE_SIGMA)
    length = (last - first + 1) * strip.piece_pix
    known = np.count_nonzero(np.isfinite(seen))
    if (
        n_bright < FEWEST_BRIGHT
        or n_bright < BRIGHT_FRACTION * known
        or length < LEAST_LENGTH * min(pixels.shape)
    ):
        return None
    course = np.polyfit(strip.along, place, 1)
    tilt = math.atan(course[0])
    distance = (line.distance + course[1]) * math.cos(tilt)
    angle = line.angle - tilt
    if _axis_distance_deg(angle) <= AXIS_DEG:
        return None
    half_width = _half_width(strip, place, (first, last), sky_rms, fwhm_pix)
    margin = 0.5 * strip.piece_pix
    return Trail(
        _normal(angle, distance),
        *_ends(angle, strip.along[first] - margin, strip.along[last] + margin),
        half_width,
        float(np.nanmean(np.minimum(seen, MOST_SIGMA))),
    )


def _normal(angle: float, distance: float) -> Line:
    """Bring the angle into [0, π)."""
    turns = math.floor(angle / math.pi)
    return Line(angle - turns * math.pi, distance if turns % 2 == 0 else -distance)


def _ends(angle: float, start: float, stop: float) -> tuple[float, float]:
    """Direct the line as its angle within [0, π) does."""
    if math.floor(angle / math.pi) % 2 == 0:
        return start, stop
    return -stop, -start


def _longest_stretch(snr: FloatArray) -> tuple[int, int]:
    """First and last piece of the stretch in which bright ones outweigh the others most."""
    gain = np.where(np.isnan(snr), 0.0, np.where(snr > PIECE_SIGMA, 1.0, -2.0))
    best, first, last, total, start = -np.inf, 0, 0, 0.0, 0
    for i, value in enumerate(gain):
        if total <= 0.0:
            total, start = 0.0, i
        total += float(value)
        if total > best:
            best, first, last = total, start, i
    return first, last


def _half_width(
    strip: Strip, place: FloatArray, stretch: tuple[int, int], sky_rms: float, fwhm_pix: float
) -> float:
    """Distance across at which the mean profile of the trail has fallen to its rim."""
    pieces = slice(stretch[0], stretch[1] + 1)
    beside = np.abs(strip.offset - place[pieces, np.newaxis])
    level, known = strip.level[pieces], np.isfinite(strip.level[pieces])
    steps = np.arange(0.0, strip.offset.max() - np.abs(place).max())
    profile = np.array(
        [float(np.median(level[known & (np.abs(beside - r) <= 0.5)])) for r in steps
         if (known & (np.abs(beside - r) <= 0.5)).any()]
    )  # fmt: skip
    profile -= np.median(profile[profile.size // 2 :])
    fallen = np.flatnonzero(profile < RIM_SIGMA * sky_rms)
    reach = float(fallen[0]) if fallen.size else float(profile.size)
    return max(reach, fwhm_pix) + 1.0
