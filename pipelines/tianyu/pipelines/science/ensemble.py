"""One weighted ensemble as the comparison of all stars: the alternative to groups.

The comparison is a smooth zero point over the field, fitted frame by frame to the members'
fluxes over their means: a constant (their weighted mean), a plane or a quadratic surface, which
follows extinction and vignetting across a field that drifts; cross-validation chooses. A member
is compared with the surface that the others make.

Against the pruned groups, scatter on two nights: HAT-P-32, 30 brightest stars 0.92×, the
transit's residuals 0.88×; LPSEB35 (55 sources, cloud), best five 0.87×, 20 brightest 1.08×. The
thresholds were chosen on the first night, so that only the second is a test, and it is a draw.
"""

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray
from tianyu.pipelines.science.bins import MIN_REFERENCES
from tianyu.pipelines.science.candidates import FlagArray, usable_epochs
from tianyu.pipelines.science.members import (
    Ensemble,
    EnsembleRules,
    choose_ensemble,
    over_mean,
)
from tianyu.pipelines.science.relative import RelativeFlux, mark, normalise, reference_means
from tianyu.pipelines.science.surface import (
    PLAIN,
    STARS_AT_A_TIME,
    Arithmetic,
    Comparison,
    compare_with_surface,
    field_basis,
)


def weighted_ensemble(
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
) -> RelativeFlux:
    """Divide each star by the zero point at its place, a member by that of the others.

    Parameters
    ----------
    flux, flux_error : ndarray, shape (n_source, n_frame)
        As measured, all frames; NaN is not measured.
    flags : ndarray of uint16, shape (n_source, n_frame)
        A flagged epoch of a member is left out of the comparison.
    good : ndarray of bool, shape (n_frame,)
        The other frames are computed too, and flagged FRAME_REJECTED.
    x, y : ndarray, shape (n_source,)
        Template positions, pixels.
    is_candidate : ndarray of bool, shape (n_source,)
        From :func:`~tianyu.pipelines.science.candidates.select_candidates`, best with its
        ``ENSEMBLE_RULES``: a star that suffers from its neighbour gets little weight anyway.
    transparency : ndarray, shape (n_frame,), optional
        First guess for stars with gaps; found from the candidates when left out.
    rules : EnsembleRules, optional
    medians : Arithmetic, optional

    Returns
    -------
    RelativeFlux

    Raises
    ------
    UnusableDataError
        If fewer than three sources are candidates.
    """
    ensemble = choose_ensemble(
        flux,
        flux_error,
        flags,
        good,
        x,
        y,
        is_candidate,
        transparency=transparency,
        rules=rules,
        medians=medians,
    )
    return apply_ensemble(
        ensemble,
        flux,
        flux_error,
        flags,
        good,
        x,
        y,
        transparency=transparency,
        medians=medians,
    )


def apply_ensemble(
    ensemble: Ensemble,
    flux: FloatArray,
    flux_error: FloatArray,
    flags: FlagArray,
    good: BoolArray,
    x: FloatArray,
    y: FloatArray,
    *,
    transparency: FloatArray | None = None,
    medians: Arithmetic = PLAIN,
) -> RelativeFlux:
    """Divide each star by the zero point that an ensemble chosen before makes at its place.

    Parameters
    ----------
    ensemble : Ensemble
        Members, weights and order of the surface, of the same sources; it may have been chosen
        on other measurements of them, such as the single frames of stacks.
    flux, flux_error, flags, good, x, y, transparency, medians
        As for :func:`weighted_ensemble`.

    Returns
    -------
    RelativeFlux
    """
    member = ensemble.weight > 0
    usable = usable_epochs(flux, flags) & member[:, None]
    means = reference_means(flux, usable, good, transparency)
    f, e = over_mean(flux, flux_error, usable, means)
    basis = field_basis(x, y, ensemble.order)
    comparison = compare_with_surface(f, e**2, usable, ensemble.weight, basis, medians)
    ratio, error = _over(flux, flux_error, comparison)
    few = np.full(member.shape, member.sum() < MIN_REFERENCES)
    return normalise(ratio, error, mark(flags, good, few), good, member, medians)


def _over(
    flux: FloatArray, flux_error: FloatArray, zero_point: Comparison
) -> tuple[FloatArray, FloatArray]:
    """Divide fluxes by the zero point; their errors hold those of both."""
    ratio, error = np.empty_like(flux), np.empty_like(flux)
    for start in range(0, len(flux), STARS_AT_A_TIME):
        part = slice(start, start + STARS_AT_A_TIME)
        value = zero_point.value[part]
        np.divide(flux[part], value, out=ratio[part])
        others = ratio[part] * np.sqrt(zero_point.variance[part])
        np.divide(np.hypot(flux_error[part], others), value, out=error[part])
    return ratio, error
