"""Find the shift between two lists of stars: the joint mode of their coordinate differences.

Every pair of a reference star and a frame star votes for the shift that would lay one on the
other. True pairs agree, chance pairs spread over the field.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.special import pdtrc

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.quantiles import median_of

BIN_PIX = 4.0
"""Bin of the histogram: wider than the error of any centroid, narrow enough that a rotation of
half a degree over a small field still gathers its votes in two bins."""
MAX_BINS_PER_AXIS = 512
"""Larger fields get wider bins, so that the histogram stays in the processor's cache."""
MAX_CHANCE = 1e-6
"""A peak that chance reaches more often than this is no shift: one false alignment in a
million frames, in the worst case."""
REFINE_HALF_WIDTH_BINS = (1.0, 0.5, 0.25)
"""About the peak; shrinking leaves chance pairs behind."""

Point: TypeAlias = tuple[float, float]

Tally: TypeAlias = Callable[
    [FloatArray, FloatArray, float, float], tuple[int, float, Point, int, int, Point]
]
"""How votes are counted: :func:`tally`, or what gives the same."""


@dataclass(frozen=True)
class Shift:
    """Shift from a reference to a frame: ``x_frame = x_reference + dx``.

    Parameters
    ----------
    dx, dy : float
        Shift, pixels; mean over the pairs at the peak.
    votes : int
        Pairs in the 2 × 2 bins of the peak.
    n_pairs : int
        Pairs that voted.
    expected : float
        Votes that chance alone puts there, on average.
    log10_chance : float
        Logarithm of the expected number of such peaks anywhere in the histogram, were all
        pairs chance pairs.
    """

    dx: float
    dy: float
    votes: int
    n_pairs: int
    expected: float
    log10_chance: float

    @property
    def is_significant(self) -> bool:
        """Whether chance makes such a peak less often than :data:`MAX_CHANCE`."""
        return self.log10_chance < math.log10(MAX_CHANCE)


def find_shift(
    reference_xy: FloatArray,
    frame_xy: FloatArray,
    *,
    max_shift_pix: float | None = None,
    bin_pix: float = BIN_PIX,
    votes: Tally | None = None,
) -> Shift:
    """Find the shift from a reference to a frame.

    Equation 2 of [1]_, with both axes taken jointly: the modes of Δx and of Δy alone need not
    belong to the same pairs. Votes are summed over 2 × 2 bins, so that a shift on the border
    between bins loses none, and the mean of the pairs at the peak gives fractions of a pixel.

    Parameters
    ----------
    reference_xy, frame_xy : ndarray, shape (n, 2) and (m, 2)
        Positions, pixels. 50 stars each make a safe shift when half of them are lost in each
        list, 100 are better; beyond, cost grows as n·m.
    max_shift_pix : float, optional
        Largest shift sought on each axis; by default any that lets the fields touch.
    bin_pix : float, optional
        Width of the bins, at least; coarser on fields of many pixels.
    votes : callable, optional
        What counts the votes; by default :func:`tally`.

    Returns
    -------
    Shift
        Also when the peak is not significant: see :attr:`Shift.is_significant`. Without any
        pair the shift is NaN with zero votes.

    Raises
    ------
    ValueError
        If a list does not have two columns, or the bins have no width.

    Notes
    -----
    Chance pairs of stars spread evenly over W × H pixels have the density
    :math:`n m (1-|Δx|/W)(1-|Δy|/H)/(WH)`; the votes they put into a bin are Poisson.

    References
    ----------
    .. [1] "Architecture of Tianyu Software: Relative Photometry as a Case Study",
       arXiv 2505.09107, equation 2.

    Examples
    --------
    >>> reference = np.random.default_rng(1).uniform(0, 1000, (40, 2))
    >>> shift = find_shift(reference, reference[10:] + [120.25, -33.5])
    >>> round(shift.dx, 6), round(shift.dy, 6), shift.votes
    (120.25, -33.5, 30)
    """
    _check(reference_xy, frame_xy, bin_pix)
    farthest = math.inf if max_shift_pix is None else max_shift_pix
    n_pairs, bin_pix, peak, n_votes, n_blocks, shift = (votes or tally)(
        reference_xy, frame_xy, farthest, bin_pix
    )
    if not n_pairs:
        return Shift(math.nan, math.nan, 0, 0, 0.0, 0.0)
    expected = _expected_votes(reference_xy, frame_xy, peak, bin_pix)
    chance = max(n_blocks * float(pdtrc(n_votes - 1, expected)), 1e-300)
    return Shift(*shift, n_votes, n_pairs, expected, math.log10(chance))


def tally(
    reference_xy: FloatArray, frame_xy: FloatArray, max_shift_pix: float, bin_pix: float
) -> tuple[int, float, Point, int, int, Point]:
    """Let all pairs of stars vote for the shift that would lay one on the other.

    Parameters
    ----------
    reference_xy, frame_xy : ndarray, shape (n, 2) and (m, 2)
        Positions, pixels.
    max_shift_pix : float
        Pairs farther apart on an axis do not vote; infinity lets all of them.
    bin_pix : float
        Width of the bins, at least.

    Returns
    -------
    n_pairs : int
        Pairs that voted; without any the rest says nothing.
    bin_pix : float
        Width that the bins had.
    peak : tuple of float
        Middle of the 2 × 2 bins with most votes.
    n_votes, n_blocks : int
        Their votes, and how many such blocks there are.
    shift : tuple of float
        Mean of the pairs at the peak.
    """
    dx = np.subtract.outer(frame_xy[:, 0], reference_xy[:, 0]).ravel()
    dy = np.subtract.outer(frame_xy[:, 1], reference_xy[:, 1]).ravel()
    near = (np.abs(dx) <= max_shift_pix) & (np.abs(dy) <= max_shift_pix)
    dx, dy = dx[near], dy[near]
    if not len(dx):
        return 0, bin_pix, (math.nan, math.nan), 0, 0, (math.nan, math.nan)
    bin_pix = max(bin_pix, max(float(np.ptp(dx)), float(np.ptp(dy))) / MAX_BINS_PER_AXIS)
    peak, n_votes, n_blocks = _highest_block(dx, dy, bin_pix)
    return len(dx), bin_pix, peak, n_votes, n_blocks, refined(dx, dy, peak, bin_pix)


def _check(reference_xy: FloatArray, frame_xy: FloatArray, bin_pix: float) -> None:
    for xy in (reference_xy, frame_xy):
        if xy.ndim != 2 or xy.shape[1] != 2:
            raise ValueError(f"positions must have shape (n, 2), got {xy.shape}")
    if not bin_pix > 0.0:
        raise ValueError(f"bin_pix must be positive, got {bin_pix}")


def _highest_block(
    dx: FloatArray, dy: FloatArray, bin_pix: float
) -> tuple[tuple[float, float], int, int]:
    """Return the centre of the 2 × 2 bins with most votes, their votes, and how many there are."""
    left, bottom = dx.min() - bin_pix, dy.min() - bin_pix  # an empty bin before and after
    column = ((dx - left) / bin_pix).astype(np.int64)
    row = ((dy - bottom) / bin_pix).astype(np.int64)
    nx, ny = int(column.max()) + 2, int(row.max()) + 2
    flat = row * nx + column
    votes = np.zeros(nx * ny, np.int32)
    np.add.at(votes, flat, np.int32(1))  # of its own type: seven times as fast
    # Four bins of a block hold a quarter of its votes in one of them, at least.
    of_pair = votes[flat]
    busy = np.unique(flat[4 * of_pair >= of_pair.max()])
    corners = np.unique(np.concatenate([busy - nx - 1, busy - nx, busy - 1, busy]))
    blocks = votes[corners] + votes[corners + 1] + votes[corners + nx] + votes[corners + nx + 1]
    best = int(np.argmax(blocks))
    j, i = divmod(int(corners[best]), nx)
    centre = (float(left + bin_pix * (i + 1)), float(bottom + bin_pix * (j + 1)))
    return centre, int(blocks[best]), (nx - 1) * (ny - 1)


def refined(dx: FloatArray, dy: FloatArray, peak: Point, bin_pix: float) -> Point:
    """Return the mean of the pairs about the peak, within a half-width that shrinks.

    Parameters
    ----------
    dx, dy : ndarray, shape (n,)
        Shifts of pairs, pixels: at least of all those within a bin of the peak.
    peak : tuple of float
        Each time the width shrinks, about the median of those that were left.
    bin_pix : float
        Width of a bin, pixels.
    """
    for bins in REFINE_HALF_WIDTH_BINS:
        near = (np.abs(dx - peak[0]) <= bins * bin_pix) & (np.abs(dy - peak[1]) <= bins * bin_pix)
        if not near.any():
            break
        dx, dy = dx[near], dy[near]
        peak = (median_of(dx), median_of(dy))
    return float(dx.mean()), float(dy.mean())


def _expected_votes(
    reference_xy: FloatArray,
    frame_xy: FloatArray,
    peak: tuple[float, float],
    bin_pix: float,
) -> float:
    """Chance votes in the 2 × 2 bins about ``peak``, for stars spread evenly over both fields."""
    width = 2.0 * bin_pix
    corners = [(xy.min(axis=0), xy.max(axis=0)) for xy in (reference_xy, frame_xy)]
    extent = np.maximum(np.max([high - low for low, high in corners], axis=0), width)
    middle = 0.5 * (np.add(*corners[1]) - np.add(*corners[0]))
    # Where the fields hardly touch, a block still sees the pairs of its own width.
    overlap = np.maximum(1.0 - np.abs(np.asarray(peak) - middle) / extent, width / extent)
    n_pairs = len(reference_xy) * len(frame_xy)
    return float(n_pairs * np.prod(width * overlap / extent))
