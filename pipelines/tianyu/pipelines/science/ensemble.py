"""One weighted ensemble as the comparison of all stars: the alternative to groups.

The comparison is ``C(t) = Σ w_j f_j(t) / Σ w_j`` over the ensemble, f_j being the flux over
its mean and w_j the inverse of the star's own variance. That variance is learnt from the
star's light curve against the ensemble without it, and *contains the ensemble's noise*,
which is subtracted: otherwise the best star, whose companions are all worse, looks bad.
Stars noisier than their like are variables and leave, iteratively.

References
----------
Broeg, C., Fernández, M. & Neuhäuser, R. 2005, Astronomische Nachrichten 326, 134 (the
artificial comparison star).
"""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray
from tianyu.pipelines.science.candidates import FlagArray, usable_epochs
from tianyu.pipelines.science.relative import RelativeFlux, mark, normalise, reference_means
from tianyu.pipelines.science.scatter import finite_median, mad_sigma

MIN_VARIANCE_FRACTION = 0.1
"""A star's own variance is at least this part of the one seen, whatever is subtracted."""

MIN_ENSEMBLE = 3
"""A star is compared with at least two others; fewer cannot tell which of them varies."""


@dataclass(frozen=True)
class EnsembleRules:
    """How the ensemble is built.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    rejection_sigma: float = 3.0
    """A star this much noisier than its like in brightness varies; it leaves the ensemble."""
    n_like: int = 15
    """Stars nearest in brightness that say which noise is usual."""
    n_iteration: int = 10
    """At most; the members settle in three or four."""

    def __post_init__(self) -> None:
        if self.rejection_sigma <= 0:
            raise ValueError(f"rejection_sigma is {self.rejection_sigma}; it must be positive")
        for name in ("n_like", "n_iteration"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True)
class Ensemble:
    """Members of the comparison, and what each is worth."""

    weight: FloatArray
    """Shape (n_source,): inverse variance of the flux over its mean; 0 if not a member."""
    sigma: FloatArray
    """Shape (n_source,): the star's own relative noise, the ensemble's subtracted; else NaN."""
    is_variable: BoolArray
    """Shape (n_source,): candidates that left because they are noisier than their like."""


@dataclass(frozen=True)
class _Comparison:
    value: FloatArray
    variance: FloatArray


def compare_with_ensemble(
    flux: FloatArray,
    flux_error: FloatArray,
    flags: FlagArray,
    good: BoolArray,
    is_candidate: BoolArray,
    transparency: FloatArray | None = None,
    rules: EnsembleRules | None = None,
) -> RelativeFlux:
    """Divide each star by the weighted mean of the ensemble, a member by that of the others.

    Parameters
    ----------
    flux, flux_error : ndarray, shape (n_source, n_frame)
        As measured, all frames; NaN is not measured.
    flags : ndarray of uint16, shape (n_source, n_frame)
        A flagged epoch of a member is left out of the comparison.
    good : ndarray of bool, shape (n_frame,)
        The other frames are computed too, and flagged FRAME_REJECTED.
    is_candidate : ndarray of bool, shape (n_source,)
        See :func:`tianyu.pipelines.science.candidates.select_candidates`.
    transparency : ndarray, shape (n_frame,), optional
        First guess for stars with gaps; found from the candidates when left out.
    rules : EnsembleRules, optional

    Returns
    -------
    RelativeFlux

    Raises
    ------
    UnusableDataError
        If fewer than three sources are candidates.
    """
    ensemble = weighted_ensemble(
        flux, flux_error, flags, good, is_candidate, transparency, rules
    )
    member = ensemble.weight > 0
    usable = usable_epochs(flux, flags) & member[:, None]
    means = reference_means(flux, usable, good, transparency)
    f, e = _over_mean(flux, flux_error, usable, means)
    comparison = _compare(f, e**2, usable, ensemble.weight)
    ratio = flux / comparison.value
    error = np.hypot(flux_error, ratio * np.sqrt(comparison.variance)) / comparison.value
    few = np.full(member.shape, member.sum() < MIN_ENSEMBLE)
    return normalise(ratio, error, mark(flags, good, few), good, member)


def weighted_ensemble(
    flux: FloatArray,
    flux_error: FloatArray,
    flags: FlagArray,
    good: BoolArray,
    is_candidate: BoolArray,
    transparency: FloatArray | None = None,
    rules: EnsembleRules | None = None,
) -> Ensemble:
    """Find the members of the ensemble and their weights from the good frames.

    Parameters, Raises
        As :func:`compare_with_ensemble`.

    Returns
    -------
    Ensemble
    """
    rules = rules or EnsembleRules()
    stars = np.flatnonzero(is_candidate)
    if stars.size < MIN_ENSEMBLE:
        raise UnusableDataError(
            f"only {stars.size} of {is_candidate.size} sources may serve as a comparison, "
            f"{MIN_ENSEMBLE} are needed; loosen the candidate rules"
        )
    light, noise = flux[np.ix_(stars, good)], flux_error[np.ix_(stars, good)]
    usable = usable_epochs(light, flags[np.ix_(stars, good)])
    guess = None if transparency is None else transparency[good]
    means = reference_means(light, usable, np.ones(light.shape[1], np.bool_), guess)
    f, e = _over_mean(light, noise, usable, means)
    photon = finite_median(np.where(usable, e, np.nan)) ** 2
    member, variance = _settle(f, usable, means, np.nan_to_num(photon), rules)
    weight, sigma = np.zeros(is_candidate.size), np.full(is_candidate.size, np.nan)
    weight[stars] = np.where(member, 1.0 / variance, 0.0)
    sigma[stars] = np.sqrt(variance)
    is_variable = np.zeros(is_candidate.size, dtype=np.bool_)
    is_variable[stars] = ~member
    return Ensemble(weight, sigma, is_variable)


def _settle(
    f: FloatArray, usable: BoolArray, means: FloatArray, photon: FloatArray, rules: EnsembleRules
) -> tuple[BoolArray, FloatArray]:
    """Iterate weights and members until the members no longer change."""
    seen = np.where(usable, f, np.nan)
    variance = mad_sigma(seen / finite_median(seen.T)) ** 2
    variance = np.where(variance > 0, variance, np.nanmax(variance))
    member = np.ones(means.size, dtype=np.bool_)
    for _ in range(rules.n_iteration):
        for _ in range(2):  # weights and variances define each other
            variance = _own_variance(f, usable, np.where(member, variance, np.inf), photon)
        stays = ~_noisier_than_like(0.5 * np.log(variance), means, rules)
        if stays.sum() < MIN_ENSEMBLE or np.array_equal(stays, member):
            break
        member = stays
    return member, variance


def _own_variance(
    f: FloatArray, usable: BoolArray, variance: FloatArray, photon: FloatArray
) -> FloatArray:
    """Variance of each star against the others, less the variance of those others."""
    others = _compare(f, variance[:, None] * usable, usable, 1.0 / variance)
    residual = np.where(usable, f / others.value, np.nan)
    total = mad_sigma(residual) ** 2
    floor = np.maximum(MIN_VARIANCE_FRACTION * total, np.minimum(photon, total))
    own = np.maximum(total - finite_median(others.variance), floor)
    return np.where(own > 0, own, np.finfo(np.float64).tiny)


def _noisier_than_like(
    log_sigma: FloatArray, means: FloatArray, rules: EnsembleRules
) -> BoolArray:
    """Tell which stars stand out, upwards, among those nearest in brightness."""
    order = np.argsort(means, kind="stable")
    n_like = min(rules.n_like, order.size)
    first = np.clip(np.arange(order.size) - n_like // 2, 0, order.size - n_like)
    like = log_sigma[order][first[:, None] + np.arange(n_like)]
    excess = log_sigma[order] - finite_median(like)
    noisy = np.empty(order.size, dtype=np.bool_)
    noisy[order] = excess > rules.rejection_sigma * mad_sigma(excess)
    return noisy


def _over_mean(
    flux: FloatArray, flux_error: FloatArray, usable: BoolArray, means: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Flux and error over the star's mean; zero where not usable."""
    scale = np.where(np.isfinite(means) & (means > 0), means, 1.0)[:, None]
    return (
        np.where(usable, flux, 0.0) / scale,
        np.where(usable, np.nan_to_num(flux_error), 0.0) / scale,
    )


def _compare(
    f: FloatArray, variance: FloatArray, usable: BoolArray, weight: FloatArray
) -> _Comparison:
    """Weighted mean of all stars but the one in the row; shapes (n_source, n_frame)."""
    w = weight[:, None] * usable
    total = w.sum(axis=0) - w
    # Rounding of the subtraction may leave a tiny rest where nothing is left.
    there = total > 1e-9 * weight.sum()
    total = np.where(there, total, 1.0)
    light, noise = w * f, w**2 * np.where(w > 0, variance, 0.0)
    value = np.where(there, (light.sum(axis=0) - light) / total, np.nan)
    return _Comparison(
        np.where(value > 0, value, np.nan), np.maximum(noise.sum(axis=0) - noise, 0.0) / total**2
    )
