"""Relative photometry: every star's flux over that of its reference stars, frame by frame.

What clouds, airmass and exposure do to all stars alike cancels. References that miss a
frame must not make the sum jump there: a missing one enters with its mean flux times the
transparency that the *other* references show in that frame, which is to scale their sum by
``Σ_all F̄ / Σ_measured F̄``.

References
----------
Equations 4 and 5 of arXiv:2505.09107.
"""

from dataclasses import dataclass, replace

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.candidates import (
    FlagArray,
    mean_at_unit_transparency,
    usable_epochs,
)
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.groups import ReferenceStars
from tianyu.pipelines.science.scatter import PLAIN, Medians


@dataclass(frozen=True)
class RelativeFlux:
    """Light curves of one aperture, normalised to a median of 1 over the good frames."""

    flux: FloatArray
    """Shape (n_source, n_frame); NaN where the star or all its references are missing."""
    error: FloatArray
    """One standard deviation, shape (n_source, n_frame): the star's noise and its references'."""
    flags: FlagArray
    """Shape (n_source, n_frame)."""
    scale: FloatArray
    """Shape (n_source,): the median that was divided out, in units of the mean reference."""
    is_reference: BoolArray
    """Shape (n_source,): the star serves as a reference of at least one other."""
    level: FloatArray
    """Shape (n_source,): flux at the night's mean transparency, in the unit of the fluxes."""


@dataclass(frozen=True)
class _Pool:
    """All references of the night, zero where one is not usable; shapes (n_reference, n_frame)."""

    flux: FloatArray
    variance: FloatArray
    mean: FloatArray
    total_mean: FloatArray
    """Mean flux of each reference, shape (n_reference, 1)."""


def compare_with_groups(
    flux: FloatArray,
    flux_error: FloatArray,
    flags: FlagArray,
    good: BoolArray,
    references: ReferenceStars,
    transparency: FloatArray | None = None,
    medians: Medians = PLAIN,
) -> RelativeFlux:
    """Divide each star by the references of its group (eq. 4), a reference by the others (eq. 5).

    Parameters
    ----------
    flux, flux_error : ndarray, shape (n_source, n_frame)
        As measured, all frames; NaN is not measured.
    flags : ndarray of uint16, shape (n_source, n_frame)
        A flagged epoch of a reference counts as missing.
    good : ndarray of bool, shape (n_frame,)
        The other frames are computed too, and flagged FRAME_REJECTED.
    references : ReferenceStars
    transparency : ndarray, shape (n_frame,), optional
        First guess for stars with gaps; found from the references when left out.
    medians : Medians, optional

    Returns
    -------
    RelativeFlux
    """
    chosen = np.flatnonzero(references.is_reference)
    pool = _pool(flux[chosen], flux_error[chosen], flags[chosen], good, transparency)
    comparison, relative_variance, total = _compare(pool, chosen, references)
    own = references.serves[references.group, np.arange(flux.shape[0])]
    count = references.serves.sum(axis=1)[references.group] - own
    ratio = flux / comparison
    error = np.sqrt((flux_error / comparison) ** 2 + ratio**2 * relative_variance)
    few = references.has_borrowed[references.group]
    marked = mark(flags, good, few)
    light_curves = normalise(ratio, error, marked, good, references.is_reference, medians)
    return replace(light_curves, scale=light_curves.scale * count, level=light_curves.scale * total)


def reference_means(
    flux: FloatArray,
    usable: BoolArray,
    good: BoolArray,
    transparency: FloatArray | None = None,
    n_iteration: int = 2,
) -> FloatArray:
    """Mean flux of each reference on one common scale, whatever epochs each of them misses.

    Parameters
    ----------
    flux : ndarray, shape (n_source, n_frame)
    usable : ndarray of bool, shape (n_source, n_frame)
        False everywhere for a source that is not a reference.
    good : ndarray of bool, shape (n_frame,)
    transparency : ndarray, shape (n_frame,), optional
        First guess; replaced by ``Σ F / Σ F̄`` over the measured references.
    n_iteration : int
        The error falls by the missing fraction (≤ 5 %) at each; two are plenty.

    Returns
    -------
    ndarray, shape (n_source,)
        NaN where a source has no usable epoch in a good frame.
    """
    used = usable & good
    light = np.where(usable, flux, 0.0)
    trend = np.ones(flux.shape[1]) if transparency is None else transparency
    means = mean_at_unit_transparency(flux, used, trend)
    if used[usable.any(axis=1)][:, good].all():
        return means  # no gaps: every mean is over the same frames already
    for _ in range(n_iteration):
        expected = np.nan_to_num(means) @ usable
        trend = np.where(expected > 0, light.sum(axis=0) / np.maximum(expected, 1e-300), np.nan)
        means = mean_at_unit_transparency(flux, used, trend)
    return means


def _pool(
    flux: FloatArray,
    flux_error: FloatArray,
    flags: FlagArray,
    good: BoolArray,
    transparency: FloatArray | None,
) -> _Pool:
    usable = usable_epochs(flux, flags)
    means = reference_means(flux, usable, good, transparency)
    usable &= np.isfinite(means)[:, None]
    means = np.nan_to_num(means)[:, None]
    return _Pool(
        flux=np.where(usable, flux, 0.0),
        variance=np.where(usable, np.nan_to_num(flux_error) ** 2, 0.0),
        mean=usable * means,
        total_mean=means,
    )


def _compare(
    pool: _Pool, chosen: IntArray, references: ReferenceStars
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sum of each star's references without itself, gaps bridged, its variance, its mean.

    One row per group serves all its stars; only references in their own group have their own.
    """
    serves = references.serves[:, chosen].astype(np.float64)
    group = references.group
    own = np.flatnonzero(references.serves[group[chosen], np.arange(references.group.size)[chosen]])
    rows = [
        np.concatenate([serves @ part, (serves @ part)[group[chosen[own]]] - part[own]])
        for part in (pool.flux, pool.variance, pool.mean, pool.total_mean)
    ]
    light, variance, mean, total = rows
    # Rounding of the subtraction may leave a tiny rest where nothing is left.
    there = (mean > 1e-9 * total) & (light > 0)
    comparison = light * np.where(there, total / np.where(there, mean, 1.0), np.nan)
    relative_variance = np.maximum(variance, 0.0) / np.where(there, light, np.nan) ** 2
    row = group.copy()
    row[chosen[own]] = serves.shape[0] + np.arange(own.size)
    return comparison[row], relative_variance[row], total[row, 0]


def mark(flags: FlagArray, good: BoolArray, few_references: BoolArray) -> FlagArray:
    """Copy of the flags, with rejected frames and stars of too few references marked.

    Parameters
    ----------
    flags : ndarray of uint16, shape (n_source, n_frame)
    good : ndarray of bool, shape (n_frame,)
    few_references : ndarray of bool, shape (n_source,)

    Returns
    -------
    ndarray of uint16, shape (n_source, n_frame)
    """
    frame = np.where(good, 0, FluxFlag.FRAME_REJECTED).astype(np.uint16)
    star = np.where(few_references, FluxFlag.FEW_REFERENCES, 0).astype(np.uint16)
    return np.asarray(flags | frame | star[:, None])


def normalise(
    ratio: FloatArray,
    error: FloatArray,
    flags: FlagArray,
    good: BoolArray,
    is_reference: BoolArray,
    medians: Medians = PLAIN,
) -> RelativeFlux:
    """Divide each light curve by its median over the good frames.

    A star whose median is not positive (none, or noise below the sky) has no light curve:
    its fluxes, errors and scale become NaN.
    """
    scale = medians.median(ratio if good.all() else ratio[:, good])
    scale = np.where(scale > 0, scale, np.nan)
    return RelativeFlux(
        ratio / scale[:, None], error / scale[:, None], flags, scale, is_reference, scale
    )
