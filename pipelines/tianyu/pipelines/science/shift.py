"""Find the shift between two lists of stars: the joint mode of their coordinate differences.

Every pair of a reference star and a frame star votes for the shift that would lay one on the
other. True pairs agree, chance pairs spread over the field.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import pdtrc

from tianyu.pipelines.science.arrays import FloatArray

BIN_PIX = 4.0
"""Bin of the histogram: wider than the error of any centroid, narrow enough that a rotation of
half a degree over a small field still gathers its votes in two bins."""
MAX_BINS_PER_AXIS = 512
"""Larger fields get wider bins, so that the histogram stays in the processor's cache."""
MAX_CHANCE = 1e-6
"""A peak that chance reaches more often than this is no shift: one false alignment in a
million frames, in the worst case."""
_REFINE_RADIUS_BINS = (1.0, 0.5, 0.25)  # shrinking about the mean leaves chance pairs behind


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
    difference = (frame_xy[np.newaxis, :, :] - reference_xy[:, np.newaxis, :]).reshape(-1, 2)
    if max_shift_pix is not None:
        difference = difference[np.all(np.abs(difference) <= max_shift_pix, axis=1)]
    if not len(difference):
        return Shift(math.nan, math.nan, 0, 0, 0.0, 0.0)
    bin_pix = max(bin_pix, float(np.ptp(difference, axis=0).max()) / MAX_BINS_PER_AXIS)
    peak, votes, n_blocks = _highest_block(difference, bin_pix)
    dx, dy = _refine(difference, peak, bin_pix)
    expected = _expected_votes(reference_xy, frame_xy, peak, bin_pix)
    chance = max(n_blocks * float(pdtrc(votes - 1, expected)), 1e-300)
    return Shift(dx, dy, votes, len(difference), expected, math.log10(chance))


def _check(reference_xy: FloatArray, frame_xy: FloatArray, bin_pix: float) -> None:
    for xy in (reference_xy, frame_xy):
        if xy.ndim != 2 or xy.shape[1] != 2:
            raise ValueError(f"positions must have shape (n, 2), got {xy.shape}")
    if not bin_pix > 0.0:
        raise ValueError(f"bin_pix must be positive, got {bin_pix}")


def _highest_block(difference: FloatArray, bin_pix: float) -> tuple[FloatArray, int, int]:
    """Return the centre of the 2 × 2 bins with most votes, their votes, and how many there are."""
    lowest = difference.min(axis=0) - bin_pix  # an empty bin before and after
    column, row = np.floor((difference - lowest) / bin_pix).astype(np.int64).T
    nx, ny = int(column.max()) + 2, int(row.max()) + 2
    votes = np.bincount(row * nx + column, minlength=nx * ny).reshape(ny, nx)
    pairs_of_rows = votes[:-1] + votes[1:]
    blocks = pairs_of_rows[:, :-1] + pairs_of_rows[:, 1:]
    j, i = np.unravel_index(int(np.argmax(blocks)), blocks.shape)
    return lowest + bin_pix * np.array([i + 1.0, j + 1.0]), int(blocks[j, i]), blocks.size


def _refine(difference: FloatArray, peak: FloatArray, bin_pix: float) -> tuple[float, float]:
    """Mean of the pairs about the peak, within a radius that shrinks while pairs are left."""
    centre = peak
    for bins in _REFINE_RADIUS_BINS:
        near = np.abs(difference - centre).max(axis=1) <= bins * bin_pix
        if near.any():
            centre = np.median(difference[near], axis=0)
    near = np.abs(difference - centre).max(axis=1) <= _REFINE_RADIUS_BINS[-1] * bin_pix
    mean = difference[near].mean(axis=0) if near.any() else centre
    return float(mean[0]), float(mean[1])


def _expected_votes(
    reference_xy: FloatArray, frame_xy: FloatArray, peak: FloatArray, bin_pix: float
) -> float:
    """Chance votes in the 2 × 2 bins about ``peak``, for stars spread evenly over both fields."""
    width = 2.0 * bin_pix
    corners = [(xy.min(axis=0), xy.max(axis=0)) for xy in (reference_xy, frame_xy)]
    extent = np.maximum(np.max([high - low for low, high in corners], axis=0), width)
    middle = 0.5 * (np.add(*corners[1]) - np.add(*corners[0]))
    # Where the fields hardly touch, a block still sees the pairs of its own width.
    overlap = np.maximum(1.0 - np.abs(peak - middle) / extent, width / extent)
    n_pairs = len(reference_xy) * len(frame_xy)
    return float(n_pairs * np.prod(width * overlap / extent))
