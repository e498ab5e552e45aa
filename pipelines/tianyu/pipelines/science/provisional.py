"""Relative fluxes of frames that come one by one, against references chosen before.

A night's relative photometry is over the medians of the night, which are not known before its
end. What a template's run has chosen serves instead: its members and their weights, and the
level of every star, its flux at the mean transparency of the frames that made the template. With
``f_j = F_j / level_j`` the zero point of a frame is the weighted mean (or surface) of its
members' ``f``, and ``f_i`` over the zero point at its place is what the star has changed.
"""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray
from tianyu.pipelines.science.bins import MIN_REFERENCES
from tianyu.pipelines.science.candidates import FlagArray, usable_epochs
from tianyu.pipelines.science.relative import mark
from tianyu.pipelines.science.surface import compare_with_surface, field_basis


@dataclass(frozen=True)
class KnownReferences:
    """References as a run has chosen them, of one aperture.

    Attributes
    ----------
    level : ndarray, shape (n_source,)
        Flux at relative flux 1, in the unit of the fluxes; NaN where the run has none.
    weight : ndarray, shape (n_source,)
        In the mean of the ``f``; 0 for a star that is no reference.
    order : int
        Of the polynomial that the zero point is over the field; 0 is the mean.
    is_by_noise : bool
        The weights are inverse variances, learnt from the frames of the template. Of few frames
        some star looks quieter than its photons allow, and would be nearly all of the zero
        point: no weight is more than that of the star's errors.
    """

    level: FloatArray
    weight: FloatArray
    order: int
    is_by_noise: bool = True


@dataclass(frozen=True)
class ProvisionalFlux:
    """Relative fluxes of some frames; shapes (n_source, n_frame)."""

    flux: FloatArray
    """NaN where the star, its level or all of its references are missing."""
    error: FloatArray
    """One standard deviation: the star's noise and its references'."""
    flags: FlagArray


def compare_with_known(
    flux: FloatArray,
    flux_error: FloatArray,
    flags: FlagArray,
    good: BoolArray,
    x: FloatArray,
    y: FloatArray,
    references: KnownReferences,
) -> ProvisionalFlux:
    """Divide each star by the zero point that references of an earlier run make at its place.

    A reference is compared with the others.

    Parameters
    ----------
    flux, flux_error : ndarray, shape (n_source, n_frame)
        In one aperture; NaN is not measured.
    flags : ndarray of uint16, shape (n_source, n_frame)
        A flagged epoch of a reference is left out of the comparison.
    good : ndarray of bool, shape (n_frame,)
        The other frames are computed too, and flagged FRAME_REJECTED.
    x, y : ndarray, shape (n_source,)
        Template positions, pixels.
    references : KnownReferences

    Returns
    -------
    ProvisionalFlux
    """
    level = np.where(references.level > 0, references.level, np.nan)[:, None]
    weight = np.where(np.isfinite(level[:, 0]), references.weight, 0.0)
    f, e = flux / level, flux_error / level
    few = np.full(len(weight), np.count_nonzero(weight) < MIN_REFERENCES)
    if not weight.any():
        nothing = np.full(flux.shape, np.nan)
        return ProvisionalFlux(nothing, nothing, mark(flags, good, few))
    usable = usable_epochs(f, flags) & (weight > 0)[:, None]
    variance = np.where(usable, np.nan_to_num(e), 0.0) ** 2
    if references.is_by_noise:
        least = variance.max(axis=1)
        has_error = least > 0
        weight[has_error] = np.minimum(weight[has_error], 1.0 / least[has_error])
    zero_point = compare_with_surface(
        np.where(usable, f, 0.0),
        variance,
        usable,
        weight,
        field_basis(x, y, references.order),
    )
    relative = f / zero_point.value
    error = np.hypot(e, relative * np.sqrt(zero_point.variance)) / zero_point.value
    return ProvisionalFlux(relative, error, mark(flags, good, few))
