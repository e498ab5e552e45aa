"""Which stars make an ensemble, and what each of them is worth.

The weight of a star is the inverse of its own variance, learnt from its light curve against the
other members. That variance *contains the others' noise*, which is subtracted: otherwise the
best star, whose companions are all worse, looks bad. Stars noisier than their like are
variables and leave, iteratively.

References
----------
Broeg, C., Fernández, M. & Neuhäuser, R. 2005, Astronomische Nachrichten 326, 134 (the
artificial comparison star).
"""

from dataclasses import dataclass, replace

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray
from tianyu.pipelines.science.candidates import FlagArray, usable_epochs
from tianyu.pipelines.science.relative import reference_means
from tianyu.pipelines.science.scatter import finite_median, mad_sigma
from tianyu.pipelines.science.surface import (
    PLAIN,
    Arithmetic,
    compare_with_surface,
    field_basis,
)

MIN_VARIANCE_FRACTION = 0.1
"""A star's own variance is at least this part of the one seen, whatever is subtracted."""

MIN_ENSEMBLE = 3
"""A star is compared with at least two others; fewer cannot tell which of them varies."""

MEMBERS_PER_TERM = 8
"""Members for each coefficient of the surface; with fewer it follows their noise."""

N_BEST = 5
"""The quietest stars, whose median noise is the best: that of one star alone may be luck."""

PRESELECTION = 2.0
"""Stars whose like are this many times too noisy are not even tried; first noises are rough."""

SETTLED_CHANGE = 0.1
"""Of a variance between iterations: smaller changes no longer move the comparison."""

MIN_IMPROVEMENT = 0.01
"""A higher order must lower the cross-validated scatter by this part; less is chance."""


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
    max_noise_ratio: float = 2.5
    """Stars this much noisier than the best would add little but the errors of their sky."""
    max_order: int = 2
    """Highest order of the surface that cross-validation may choose; 0 is the weighted mean."""
    n_iteration: int = 10
    """At most; the members settle in three or four."""

    def __post_init__(self) -> None:
        if self.rejection_sigma <= 0 or self.max_noise_ratio <= 1:
            raise ValueError(
                f"rejection_sigma is {self.rejection_sigma} and max_noise_ratio "
                f"{self.max_noise_ratio}; they must exceed 0 and 1"
            )
        if self.n_like < 1 or self.n_iteration < 1 or self.max_order < 0:
            raise ValueError(f"{self}: counts must be at least 1 and max_order at least 0")


@dataclass(frozen=True)
class Ensemble:
    """Members of the comparison, and what each is worth."""

    weight: FloatArray
    """Shape (n_source,): inverse variance of the flux over its mean; 0 if not a member."""
    sigma: FloatArray
    """Shape (n_source,): own relative noise, the others' subtracted; NaN for stars not tried."""
    is_variable: BoolArray
    """Shape (n_source,): candidates that left because they are noisier than their like."""
    order: int
    """Of the surface that cross-validation chose."""


@dataclass(frozen=True)
class _Night:
    """Candidates in the good frames: fluxes over their means, shapes (n_star, n_frame)."""

    f: FloatArray
    usable: BoolArray
    means: FloatArray
    """Shape (n_star,)."""
    photon: FloatArray
    """Variance that the errors predict for each star, shape (n_star,)."""
    medians: Arithmetic

    def subset(self, chosen: BoolArray) -> "_Night":
        """Keep some of the stars."""
        return replace(
            self,
            f=self.f[chosen],
            usable=self.usable[chosen],
            means=self.means[chosen],
            photon=self.photon[chosen],
        )


@dataclass(frozen=True)
class _Settled:
    """Members and variances after some iterations; shapes (n_star,)."""

    member: BoolArray
    varies: BoolArray
    own: FloatArray
    seen: FloatArray


def choose_ensemble(
    flux: FloatArray,
    flux_error: FloatArray,
    flags: FlagArray,
    good: BoolArray,
    x: FloatArray,
    y: FloatArray,
    is_candidate: BoolArray,
    *,
    transparency: FloatArray | None = None,
    rules: EnsembleRules | None = None,
    medians: Arithmetic = PLAIN,
) -> Ensemble:
    """Find members, weights and order of the surface from the good frames.

    Parameters
    ----------
    flux, flux_error, flags, good, x, y, is_candidate, transparency, rules, medians
        As for :func:`tianyu.pipelines.science.ensemble.weighted_ensemble`.

    Returns
    -------
    Ensemble

    Raises
    ------
    UnusableDataError
        If fewer than three sources are candidates.
    """
    rules = rules or EnsembleRules()
    stars = np.flatnonzero(is_candidate)
    if stars.size < MIN_ENSEMBLE:
        raise UnusableDataError(
            f"only {stars.size} of {is_candidate.size} sources may serve as a comparison, "
            f"{MIN_ENSEMBLE} are needed; loosen the candidate rules"
        )
    guess = None if transparency is None else transparency[good]
    # Not an index of both axes, which would leave the frames of a star far apart.
    in_good = (
        flux[stars].compress(good, axis=1),
        flux_error[stars].compress(good, axis=1),
        flags[stars].compress(good, axis=1),
    )
    night = _night(*in_good, guess, medians)
    first = _first_variances(night)
    bright = _bright_enough(first, night, rules)
    stars, night = stars[bright], night.subset(bright)
    order, settled = _choose_order(night, x[stars], y[stars], first[bright], rules)
    weight, sigma = np.zeros(is_candidate.size), np.full(is_candidate.size, np.nan)
    weight[stars] = settled.member / settled.own
    sigma[stars] = np.sqrt(settled.own)
    is_variable = np.zeros(is_candidate.size, dtype=np.bool_)
    is_variable[stars] = settled.varies
    return Ensemble(weight, sigma, is_variable, order)


def _night(
    flux: FloatArray,
    flux_error: FloatArray,
    flags: FlagArray,
    transparency: FloatArray | None,
    medians: Arithmetic,
) -> _Night:
    usable = usable_epochs(flux, flags)
    means = reference_means(flux, usable, np.ones(flux.shape[1], np.bool_), transparency)
    usable &= (means > 0)[:, None]
    f, e = over_mean(flux, flux_error, usable, means)
    photon = np.nan_to_num(medians.median(np.where(usable, e, np.nan)) ** 2)
    return _Night(f, usable, np.nan_to_num(means), photon, medians)


def over_mean(
    flux: FloatArray, flux_error: FloatArray, usable: BoolArray, means: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Flux and error over the star's mean; zero where not usable."""
    scale = np.where(means > 0, means, 1.0)[:, None]
    f = np.where(usable, flux, 0.0)
    e = np.where(usable & ~np.isnan(flux_error), flux_error, 0.0)
    f /= scale
    e /= scale
    return f, e


def _first_variances(night: _Night) -> FloatArray:
    """Variance of each star against the median of all: rough, but free of any choice."""
    seen = np.where(night.usable, night.f, np.nan)
    return _positive(night.medians.mad(seen / night.medians.median(seen.T)) ** 2)


def _bright_enough(variance: FloatArray, night: _Night, rules: EnsembleRules) -> BoolArray:
    """Leave out stars that cannot be members, since stars of their brightness are too noisy.

    Their *like* decide, so that a bright variable stays and is recognised as such.
    """
    typical = _typical(variance, night.means, rules)
    best = np.median(np.sort(typical)[:N_BEST])
    return np.asarray(typical <= (PRESELECTION * rules.max_noise_ratio) ** 2 * best)


def _choose_order(
    night: _Night, x: FloatArray, y: FloatArray, first: FloatArray, rules: EnsembleRules
) -> tuple[int, _Settled]:
    """Raise the order of the surface while the members' scatter against the others falls."""
    everyone = np.ones(first.size, dtype=np.bool_)
    start = _Settled(everyone, ~everyone, first, first)
    order, settled = 0, _settle(night, field_basis(x, y, 0), start, rules)
    for higher in range(1, rules.max_order + 1):
        basis = field_basis(x, y, higher)
        if settled.member.sum() < MEMBERS_PER_TERM * basis.shape[1]:
            break
        trial = _settle(night, basis, settled, rules)
        common = settled.member & trial.member
        change = 0.5 * finite_median(np.log(trial.seen[common] / settled.seen[common]))
        if not change < -MIN_IMPROVEMENT:
            break
        order, settled = higher, trial
    return order, settled


def _settle(night: _Night, basis: FloatArray, state: _Settled, rules: EnsembleRules) -> _Settled:
    """Iterate weights and members until neither changes any more."""
    for _ in range(rules.n_iteration):
        seen, own = _variances(night, basis, state)
        varies = _noisier_than_like(own, night.means, rules)
        steady = np.sort(own[~varies])[:N_BEST]
        quiet = own <= rules.max_noise_ratio**2 * np.median(steady)
        member = quiet & ~varies
        settled = np.array_equal(member, state.member) and np.allclose(
            own[member], state.own[member], rtol=SETTLED_CHANGE, atol=0.0
        )
        if member.sum() < MIN_ENSEMBLE:
            member = state.member
        state = _Settled(member, varies & ~member, own, seen)
        if settled:
            break
    return state


def _variances(night: _Night, basis: FloatArray, state: _Settled) -> tuple[FloatArray, FloatArray]:
    """Variance of each star against the members but itself, as seen and less the members' own."""
    weight = state.member / state.own
    medians = night.medians
    others = compare_with_surface(night.f, state.own[:, None], night.usable, weight, basis, medians)
    seen = _positive(medians.mad_of_ratio(night.f, others.value, night.usable) ** 2)
    least = np.maximum(MIN_VARIANCE_FRACTION * seen, np.minimum(night.photon, seen))
    noise = np.where(np.isnan(others.variance), 0.0, others.variance).mean(axis=1)
    return seen, np.maximum(seen - noise, least)


def _positive(variance: FloatArray) -> FloatArray:
    """Replace a variance of zero or NaN by the largest one: such a star is no reference."""
    known = np.isfinite(variance) & (variance > 0)
    worst = variance[known].max(initial=0.0) or 1.0
    return np.where(known, variance, worst)


def _noisier_than_like(variance: FloatArray, means: FloatArray, rules: EnsembleRules) -> BoolArray:
    """Tell which stars stand out, upwards, among those nearest in brightness."""
    excess = 0.5 * np.log(variance / _typical(variance, means, rules))
    return np.asarray(excess > rules.rejection_sigma * mad_sigma(excess))


def _typical(variance: FloatArray, means: FloatArray, rules: EnsembleRules) -> FloatArray:
    """Median variance of the stars nearest in rank of brightness."""
    order = np.argsort(means, kind="stable")
    n_like = min(rules.n_like, order.size)
    first = np.clip(np.arange(order.size) - n_like // 2, 0, order.size - n_like)
    typical = np.empty(order.size)
    typical[order] = finite_median(variance[order][first[:, None] + np.arange(n_like)])
    return typical
