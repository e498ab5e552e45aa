"""The pixels along a line, in pieces, and the straight course along it that is brightest."""

import math
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, FloatImage
from tianyu.pipelines.science.lines import Line
from tianyu.pipelines.science.scatter import finite_median

PIECE_PIX = 32
"""Length of a piece: several stars."""

MOST_PIECES = 40

FEWEST_PIECES = 6
"""A shorter line through a corner of the frame is not followed."""

PIECE_SIGMA = 3.0
"""A piece is bright above this; the sum over a trail then has ten times its noise or more."""

MOST_SIGMA = 6.0
"""What a single piece may count for: no star makes a trail by itself."""


@dataclass(frozen=True, eq=False)
class Strip:
    """Pixels along a line: medians of its pieces, at whole offsets across."""

    along: FloatArray
    """Middles of the pieces, shape (p,)."""
    piece_pix: float
    offset: FloatArray
    """Shape (u,)."""
    level: FloatArray
    """Shape (p, u); NaN where too little is usable."""
    noise: FloatArray
    """Shape (p, u)."""


def cut_strip(
    pixels: FloatImage, usable: BoolArray, line: Line, sky_rms: float, reach: int
) -> Strip | None:
    """Read the nearest pixels along a line; nothing is interpolated."""
    ny, nx = pixels.shape
    cosine, sine = math.cos(line.angle), math.sin(line.angle)
    corner_y, corner_x = np.array([0, 0, ny - 1, ny - 1]), np.array([0, nx - 1, 0, nx - 1])
    ends = corner_y * cosine - corner_x * sine
    along = np.arange(math.floor(ends.min()), math.ceil(ends.max()) + 1.0)
    x, y = line.distance * cosine - along * sine, line.distance * sine + along * cosine
    along = along[(x >= 0) & (x <= nx - 1) & (y >= 0) & (y <= ny - 1)]
    n_piece = min(MOST_PIECES, along.size // PIECE_PIX)
    if n_piece < FEWEST_PIECES:
        return None
    along = along[: along.size // n_piece * n_piece]
    offset = np.arange(-reach, reach + 1.0)
    across = line.distance + offset
    column = np.rint(np.outer(-along, [sine]) + across * cosine).astype(np.int64)
    row = np.rint(np.outer(along, [cosine]) + across * sine).astype(np.int64)
    inside = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
    row, column = np.clip(row, 0, ny - 1), np.clip(column, 0, nx - 1)
    values = np.where(inside & usable[row, column], pixels[row, column], np.nan)
    pieces = values.reshape(n_piece, -1, offset.size)
    count = np.isfinite(pieces).sum(axis=1)
    level = finite_median(np.swapaxes(pieces, 1, 2))
    level = np.where(4 * count >= pieces.shape[1], level, np.nan)
    noise = 1.2533 * sky_rms / np.sqrt(np.maximum(count, 1))
    middles = along.reshape(n_piece, -1).mean(axis=1)
    return Strip(middles, float(pieces.shape[1]), offset, level, noise)


def brightest_course(strip: Strip, width: int, reach: int) -> tuple[FloatArray, FloatArray]:
    """Signal to noise of the pieces along the best straight course, and where it runs across.

    The proposed line is right to a block at both ends.
    """
    half = 0.5 * float(np.ptp(strip.along))
    relative = (strip.along - strip.along.mean()) / half
    best, best_snr, best_place = -np.inf, np.zeros(0), np.zeros(0)
    room = reach // 3
    for tilt in np.arange(-room, room + 0.5):
        for shift in np.arange(-room, room + 1.0):
            place = shift + tilt * relative
            if np.abs(place).max() > room:
                continue
            snr = _contrast(strip, place, width)
            score = float(np.nansum(np.clip(snr, -PIECE_SIGMA, MOST_SIGMA)))
            if score > best:
                best, best_snr, best_place = score, snr, place
    return best_snr, best_place


def _contrast(strip: Strip, place: FloatArray, width: int) -> FloatArray:
    """Brightness of each piece at a place across over its brighter side, in its noise.

    Against the brighter side no slope or step of the sky is a trail. The noise is that of white
    pixels, or what the sides show where that is more: in a crowd of stars it is much more.
    """
    side = strip.offset - place[:, np.newaxis]
    known = np.isfinite(strip.level)
    inside, beyond = known & (np.abs(side) <= width), known & (np.abs(side) > 3.0 * width)
    left, right = beyond & (side < 0.0), beyond & (side > 0.0)
    n_in, n_left, n_right = (np.maximum(of.sum(axis=1), 1) for of in (inside, left, right))
    level = np.where(known, strip.level, 0.0)
    of_left, of_right = (level * left).sum(axis=1) / n_left, (level * right).sum(axis=1) / n_right
    flank = np.where(right, of_right[:, np.newaxis], of_left[:, np.newaxis])
    seen = ((level - flank) ** 2 * beyond).sum(axis=1) / np.maximum(n_left + n_right - 2, 1)
    white = (strip.noise**2 * inside).sum(axis=1) / n_in
    variance = np.maximum(white, seen) * (1.0 / n_in + 1.0 / np.minimum(n_left, n_right))
    above = (level * inside).sum(axis=1) / n_in - np.maximum(of_left, of_right)
    enough = (n_in > width) & (np.minimum(n_left, n_right) > width) & (variance > 0.0)
    return np.where(enough, above / np.sqrt(np.where(enough, variance, 1.0)), np.nan)
