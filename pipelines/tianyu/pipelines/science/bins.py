"""Bins of position and brightness, in which stars are compared with their like.

The field is cut into n × n equal rectangles and the stars of each rectangle into classes of
brightness with equal numbers of candidates. A group is one class in one rectangle.
"""

import math
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray

MIN_CANDIDATES_PER_POSITION_BIN = 12
"""Two brightness classes of six references each: with fewer, a finer grid gains nothing."""

MIN_REFERENCES = 6
"""Candidates per brightness class, N_minref of the published method."""


@dataclass(frozen=True)
class Groups:
    """To which group each source belongs, and where each group lies."""

    index: IntArray
    """Group of each source, shape (n_source,)."""
    n_side: int
    """The position grid has ``n_side × n_side`` rectangles."""
    column: IntArray
    """Column of each group's rectangle, shape (n_group,), along x."""
    row: IntArray
    """Row of each group's rectangle, shape (n_group,), along y."""
    brightness: FloatArray
    """log10 of the median flux of each group's candidates, shape (n_group,); NaN if none."""

    @property
    def n_group(self) -> int:
        """Number of groups."""
        return int(self.column.size)


def n_brightness_classes(n_candidate: int, min_references: int = MIN_REFERENCES) -> int:
    """Return the number of brightness classes for the candidates of one position bin.

    ``max(1, min(⌊N / min_references⌋, ⌊√N⌋))``.

    Examples
    --------
    >>> [n_brightness_classes(n) for n in (0, 5, 12, 35, 36, 100)]
    [1, 1, 2, 5, 6, 10]
    """
    return max(1, min(n_candidate // min_references, math.isqrt(n_candidate)))


def grid_cell(values: FloatArray, n_side: int) -> IntArray:
    """Cell, 0 … n_side − 1, of each coordinate when its range is cut into equal parts.

    Examples
    --------
    >>> grid_cell(np.array([0.0, 4.9, 5.0, 10.0]), 2)
    array([0, 0, 1, 1])
    """
    low, high = float(values.min()), float(values.max())
    if high == low:
        return np.zeros(values.shape, dtype=np.int64)
    cell = np.floor((values - low) / (high - low) * n_side).astype(np.int64)
    return np.minimum(cell, n_side - 1)


def finest_grid(
    x: FloatArray,
    y: FloatArray,
    is_candidate: BoolArray,
    min_candidates: int = MIN_CANDIDATES_PER_POSITION_BIN,
) -> int:
    """Largest n for which every rectangle of an n × n grid holds enough candidates.

    Parameters
    ----------
    x, y : ndarray, shape (n_source,)
        Positions, pixels; the grid spans all of them.
    is_candidate : ndarray of bool, shape (n_source,)
    min_candidates : int
        In every rectangle.

    Returns
    -------
    int
        At least 1, which has to do when the whole field holds fewer.
    """
    finest = math.isqrt(int(is_candidate.sum()) // min_candidates)
    for n_side in range(finest, 1, -1):
        cell = grid_cell(y, n_side) * n_side + grid_cell(x, n_side)
        counts = np.bincount(cell[is_candidate], minlength=n_side * n_side)
        if counts.min() >= min_candidates:
            return n_side
    return 1


def brightness_edges(candidate_flux: FloatArray, n_class: int) -> FloatArray:
    """Fluxes that cut the candidates into classes of equal number.

    Parameters
    ----------
    candidate_flux : ndarray, shape (n,)
        Finite fluxes.
    n_class : int
        At most n.

    Returns
    -------
    ndarray, shape (n_class - 1,)
        Ascending, midway between the neighbouring candidates, so that no candidate of
        distinct flux lies on an edge.

    Examples
    --------
    >>> brightness_edges(np.array([4.0, 1.0, 3.0, 2.0]), 2)
    array([2.5])
    """
    ordered = np.sort(candidate_flux)
    cut = np.arange(1, n_class) * ordered.size // n_class
    return np.asarray(0.5 * (ordered[cut - 1] + ordered[cut]))


def group_sources(
    x: FloatArray,
    y: FloatArray,
    mean_flux: FloatArray,
    is_candidate: BoolArray,
    min_candidates: int = MIN_CANDIDATES_PER_POSITION_BIN,
    min_references: int = MIN_REFERENCES,
) -> Groups:
    """Assign every source, candidate or not, to one group of position and brightness.

    Parameters
    ----------
    x, y : ndarray, shape (n_source,)
        Template positions, pixels.
    mean_flux : ndarray, shape (n_source,)
        A source without a finite flux joins the faintest class of its rectangle.
    is_candidate : ndarray of bool, shape (n_source,)
        Only candidates decide where the limits of position and brightness lie.
    min_candidates : int
        Per rectangle of the position grid.
    min_references : int
        Candidates per brightness class.

    Returns
    -------
    Groups
        The same for any order of the sources.

    Raises
    ------
    UnusableDataError
        If there is no source.
    """
    if x.size == 0:
        raise UnusableDataError("there are no sources to group; the template shows no star")
    n_side = finest_grid(x, y, is_candidate, min_candidates)
    cell = grid_cell(y, n_side) * n_side + grid_cell(x, n_side)
    flux = np.where(np.isfinite(mean_flux), mean_flux, -np.inf)
    index = np.empty(x.size, dtype=np.int64)
    cells: list[int] = []
    brightness: list[float] = []
    for where in range(n_side * n_side):
        here = cell == where
        candidate_flux = flux[here & is_candidate]
        edges = brightness_edges(
            candidate_flux, n_brightness_classes(candidate_flux.size, min_references)
        )
        index[here] = len(cells) + np.searchsorted(edges, flux[here], side="right")
        cells += [where] * (edges.size + 1)
        brightness += _class_brightness(candidate_flux, edges)
    row, column = np.divmod(np.array(cells, dtype=np.int64), n_side)
    return Groups(index, n_side, column, row, np.array(brightness))


def _class_brightness(candidate_flux: FloatArray, edges: FloatArray) -> list[float]:
    member = np.searchsorted(edges, candidate_flux, side="right")
    classes = [candidate_flux[member == k] for k in range(edges.size + 1)]
    return [float(np.log10(np.median(f))) if f.size else math.nan for f in classes]
