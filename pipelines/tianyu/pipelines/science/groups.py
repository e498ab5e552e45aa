"""Reference stars of each group: candidates that make the group's light curves better.

The quality of a set of references is the group's signal-to-noise ratio

    SNR = [Σ_j F̄_j / σ_j²] / sqrt(Σ_j 1 / σ_j²)

F̄_j and σ_j² being mean and variance over the epochs of the relative flux of star j, and j
running over *every* star of the group with the largest number of epochs: were j to run over
the references alone, a variable would take its own noise with it when it leaves, but a good
star would too. A reference stays only if the SNR falls when it leaves.

References
----------
"Architecture of Tianyu Software: Relative Photometry as a Case Study", arXiv:2505.09107,
equations 4-6.
"""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.bins import Groups

MIN_KEPT = 3
"""Pruning stops here: with two references each is compared with the other one alone."""

RELATIVE_VARIANCE_FLOOR = 1e-14
"""A variance below this times the squared mean is rounding; it bounds the weight of a star."""


@dataclass(frozen=True)
class ReferenceStars:
    """Which sources serve each group as references."""

    group: IntArray
    """Group of each source, shape (n_source,)."""
    serves: BoolArray
    """Shape (n_group, n_source): source j is a reference of group g, own or borrowed."""
    has_borrowed: BoolArray
    """Shape (n_group,): the group had too few references of its own."""
    snr: FloatArray
    """Shape (n_group,): SNR of the group with its own references; NaN with fewer than two."""

    @property
    def is_reference(self) -> BoolArray:
        """Sources that serve at least one group, shape (n_source,)."""
        return np.asarray(self.serves.any(axis=0))


def relative_to_references(flux: FloatArray, is_reference: BoolArray) -> FloatArray:
    """Flux of each star over the mean flux of the references other than itself.

    ``N F_i / Σ_j F_j`` for a target (eq. 4), ``(N − 1) F_k / Σ_{j≠k} F_j`` for a
    reference k (eq. 5).

    Parameters
    ----------
    flux : ndarray, shape (n_star, n_frame)
        Without NaN.
    is_reference : ndarray of bool, shape (n_star,)
        At least two.

    Returns
    -------
    ndarray, shape (n_star, n_frame)
        NaN where the references' flux is not positive.

    Examples
    --------
    >>> relative_to_references(np.array([[1.0], [2.0], [6.0]]), np.array([True, True, False]))
    array([[0.5],
           [2. ],
           [4. ]])
    """
    own = is_reference[:, None]
    total = flux[is_reference].sum(axis=0) - np.where(own, flux, 0.0)
    count = int(is_reference.sum()) - own.astype(np.float64)
    return np.where(total > 0, count * flux / np.where(total > 0, total, 1.0), np.nan)


def group_snr(flux: FloatArray, is_reference: BoolArray) -> float:
    """Signal-to-noise ratio of a group (eq. 6) for one choice of references.

    Parameters
    ----------
    flux : ndarray, shape (n_star, n_frame)
        Every star of the group with the maximum number of epochs, without NaN.
    is_reference : ndarray of bool, shape (n_star,)

    Returns
    -------
    float
        Minus infinity where it is not defined: fewer than two references or two frames.
    """
    if is_reference.sum() < 2 or flux.shape[1] < 2:
        return -np.inf
    relative = relative_to_references(flux, is_reference)
    mean, variance = relative.mean(axis=1), relative.var(axis=1)
    defined = np.isfinite(variance) & (mean > 0)
    mean, variance = mean[defined], variance[defined]
    variance = np.maximum(variance, RELATIVE_VARIANCE_FLOOR * mean**2)
    if mean.size == 0:
        return -np.inf
    return float((mean / variance).sum() / np.sqrt((1.0 / variance).sum()))


def prune_group(
    flux: FloatArray, is_candidate: BoolArray, min_kept: int = MIN_KEPT
) -> tuple[BoolArray, float]:
    """Drop candidates until every one left makes the group's SNR better by staying.

    The candidate whose departure raises the SNR most leaves first, so that the result does
    not depend on the order in which candidates are tried.

    Parameters
    ----------
    flux : ndarray, shape (n_star, n_frame)
        As in :func:`group_snr`; of equals the last one leaves.
    is_candidate : ndarray of bool, shape (n_star,)
    min_kept : int
        Pruning stops with this many.

    Returns
    -------
    kept : ndarray of bool, shape (n_star,)
    snr : float
        With the references kept.
    """
    kept = is_candidate.copy()
    snr = group_snr(flux, kept)
    while kept.sum() > min_kept:
        members = np.flatnonzero(kept)
        without = np.array([group_snr(flux, _without(kept, int(k))) for k in members])
        best = without.size - 1 - int(np.argmax(without[::-1]))
        if not without[best] >= snr:
            break
        kept[members[best]] = False
        snr = float(without[best])
    return kept, snr


def _without(kept: BoolArray, k: int) -> BoolArray:
    fewer = kept.copy()
    fewer[k] = False
    return fewer


def choose_references(
    filled_flux: FloatArray,
    good: BoolArray,
    is_candidate: BoolArray,
    groups: Groups,
    *,
    source_id: IntArray | None = None,
    min_kept: int = MIN_KEPT,
) -> ReferenceStars:
    """Choose the reference stars of every group; one with too few borrows from its neighbours.

    Parameters
    ----------
    filled_flux : ndarray, shape (n_source, n_frame)
        Candidates without NaN in the good frames; other sources may hold NaN.
    good : ndarray of bool, shape (n_frame,)
    is_candidate : ndarray of bool, shape (n_source,)
    groups : Groups
    source_id : ndarray of int, shape (n_source,), optional
        Orders the stars of a group and breaks ties, so that the answer does not depend on
        the order of the rows; their own order by default.
    min_kept : int
        Wanted in every group, at least 2: a reference is compared with the others.

    Returns
    -------
    ReferenceStars

    Raises
    ------
    UnusableDataError
        If no source is a candidate.
    ValueError
        If ``min_kept`` is below 2.
    """
    if min_kept < 2:
        raise ValueError(f"min_kept is {min_kept}; a reference needs at least one other")
    if not is_candidate.any():
        raise UnusableDataError(
            f"none of {is_candidate.size} sources may serve as a reference star; loosen the "
            "candidate rules or choose a smaller aperture"
        )
    source_id = np.arange(is_candidate.size) if source_id is None else source_id
    by_id = np.argsort(source_id, kind="stable")
    own = np.zeros((groups.n_group, is_candidate.size), dtype=np.bool_)
    snr = np.full(groups.n_group, np.nan)
    usable = np.isfinite(filled_flux) & good
    for g in range(groups.n_group):
        stars = by_id[groups.index[by_id] == g]
        stars, frames = _best_covered(usable, stars)
        kept, value = prune_group(filled_flux[np.ix_(stars, frames)], is_candidate[stars], min_kept)
        own[g, stars[kept]] = True
        snr[g] = value if np.isfinite(value) else np.nan
    serves, has_borrowed = _borrow(own, groups, min_kept)
    return ReferenceStars(groups.index, serves, has_borrowed, snr)


def _best_covered(usable: BoolArray, stars: IntArray) -> tuple[IntArray, IntArray]:
    """Stars with the maximum number of epochs, and the frames in which all of them have one."""
    epochs = usable[stars].sum(axis=1)
    best = stars[(epochs == epochs.max(initial=0)) & (epochs > 0)]
    return best, np.flatnonzero(usable[best].all(axis=0)) if best.size else best[:0]


def _borrow(own: BoolArray, groups: Groups, min_kept: int) -> tuple[BoolArray, BoolArray]:
    """Let groups with too few references use those of the nearest groups, one by one.

    Nearest in position first, then in brightness; ties go to the lower group.
    """
    has_borrowed = own.sum(axis=1) < min_kept
    serves = own.copy()
    for g in np.flatnonzero(has_borrowed):
        distance = (groups.column - groups.column[g]) ** 2 + (groups.row - groups.row[g]) ** 2
        contrast = np.nan_to_num(np.abs(groups.brightness - groups.brightness[g]), nan=np.inf)
        for lender in np.lexsort((np.arange(groups.n_group), contrast, distance)):
            serves[g] |= own[lender]
            if serves[g].sum() >= min_kept:
                break
    return serves, has_borrowed
