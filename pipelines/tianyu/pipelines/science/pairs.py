"""Pairs of stars: which star of a frame is which of its reference."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tianyu.pipelines.science.alignment import AlignmentError
from tianyu.pipelines.science.arrays import FloatArray, IntArray
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.transform import AffineTransform

MIN_STARS = 4
"""Fewer stars than this give no shift that chance would not give as well."""

_FLOOR_PIX = 0.02  # pixel phase, distortion, turbulence: what bright stars show on real frames

ComplexArray: TypeAlias = NDArray[np.complex128]
"""Positions as ``x + iy``, shape ``(n,)``: a similarity is then one product and one sum."""


@dataclass(frozen=True)
class StarPairs:
    """Stars of two lists that belong together; every column is of shape (n,).

    Attributes
    ----------
    i, j : ndarray of int64
        Indices into the reference's list and into the frame's.
    z, target : ndarray of complex128
        Positions there, pixels.
    weight : ndarray
        Inverse variance of their distance on one axis, pix⁻².
    """

    i: IntArray
    j: IntArray
    z: ComplexArray
    target: ComplexArray
    weight: FloatArray

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.i)

    def __getitem__(self, keep: NDArray[Any]) -> "StarPairs":
        """Return some of the pairs."""
        return StarPairs(
            self.i[keep], self.j[keep], self.z[keep], self.target[keep], self.weight[keep]
        )


Pairing: TypeAlias = Callable[[AffineTransform, float], StarPairs]
"""Pairs stars of two lists under a map from one to the other, closer than a radius in pixels."""


def pair_stars(
    reference: StarList,
    frame: StarList,
    tree: "cKDTree[None]",
    transform: AffineTransform,
    radius_pix: float,
) -> StarPairs:
    """Pair the closest stars; every star of either list is in one pair at most.

    Parameters
    ----------
    reference, frame : StarList
        Stars of both.
    tree : cKDTree
        Of the frame's positions; kept by the caller, who pairs more than once.
    transform : AffineTransform
        Map of reference pixels to pixels of the frame.
    radius_pix : float
        Largest distance of a pair under that map.

    Returns
    -------
    StarPairs
        Weighted by the noise of the sky in both frames plus a floor.

    Raises
    ------
    AlignmentError
        If fewer than four stars match.
    """
    predicted = np.column_stack(transform.apply(reference.x, reference.y))
    distance, nearest = tree.query(predicted, distance_upper_bound=radius_pix)
    order = np.argsort(distance, kind="stable")[: np.count_nonzero(np.isfinite(distance))]
    j, first = np.unique(np.asarray(nearest)[order], return_index=True)
    return joined(reference, frame, order[first], j, radius_pix)


def plain_pairing(reference: StarList, frame: StarList) -> Pairing:
    """Return what pairs the stars of two lists under a map and within a radius, by a tree."""
    tree = cKDTree(frame.xy)
    return lambda transform, radius_pix: pair_stars(reference, frame, tree, transform, radius_pix)


def joined(
    reference: StarList, frame: StarList, i: IntArray, j: IntArray, radius_pix: float
) -> StarPairs:
    """Return the pairs of stars i of a reference and j of a frame.

    Parameters
    ----------
    reference, frame : StarList
    i, j : ndarray of int64, shape (n,)
    radius_pix : float
        In which they were found, for the error.

    Raises
    ------
    AlignmentError
        If there are fewer than four.
    """
    if len(i) < MIN_STARS:
        raise AlignmentError(
            f"only {len(i)} stars match within {radius_pix:.1f} px, {MIN_STARS} are needed"
        )
    variance = _FLOOR_PIX**2 + reference.error_pix[i] ** 2 + frame.error_pix[j] ** 2
    z, target = reference.x[i] + 1j * reference.y[i], frame.x[j] + 1j * frame.y[j]
    return StarPairs(i, j, z, target, 1.0 / variance)
