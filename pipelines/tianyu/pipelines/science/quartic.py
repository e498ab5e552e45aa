"""A single transit in magnitudes as an even quartic, against a quadratic baseline.

    f(t) = A₂ x² + A₄ x⁴ + c₀ + c₁ t' + c₂ t'² + white noise σ,    t' = 2 (t − t₀) / d

with x = t' inside |t'| < 1 and x = 1 outside; f = −2.5 log₁₀ F. The depth is −(A₂ + A₄). The
alternative is the baseline alone, c₀ + c₁ τ + c₂ τ². Priors: t₀ even over the data, d even
between five cadences and the span, ln σ even, the coefficients even, with A₂ < 0 and
(A₄ < 0 or −A₂ / 2A₄ > 1): the star is faintest at t₀ and brightens all the way to the ends.

References
----------
"Architecture of Tianyu Software: Relative Photometry as a Case Study", arXiv:2505.09107,
appendix C.
"""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray
from tianyu.pipelines.science.sampling import (
    Estimate,
    Posterior,
    SamplerSettings,
    estimate,
    log_mean_exp,
    sample,
)
from tianyu.pipelines.science.scatter import mad_sigma
from tianyu.pipelines.science.trapezoid import fit_trapezoid

TRANSIT_NAMES = ("A2", "A4", "c0", "c1", "c2", "ln_sigma", "mid_time", "duration")
BASELINE_NAMES = ("c0", "c1", "c2", "ln_sigma")
MIN_CADENCES = 5
"""In the shortest duration: fewer points have no shape."""
MAX_CLIPPINGS = 5
CLIP_SIGMA = 5.0


@dataclass(frozen=True, eq=False)
class QuarticTransit:
    """What one night says of one transit; times in the unit of the input (days)."""

    posterior: Posterior
    """Times in it are relative to ``reference_time``."""
    baseline: Posterior
    reference_time: float
    used: BoolArray
    """Shape (n,): points that were fitted."""
    log_bayes_factor: float
    """ln of the ratio of the posterior-averaged likelihoods, by log-sum-exp. An average over
    the *posterior* favours the model that fits better more than an evidence would."""
    delta_bic: float
    """BIC of the baseline minus BIC of the transit: positive speaks for the transit."""
    mid_time: Estimate
    duration: Estimate
    depth_mag: Estimate
    depth: Estimate
    """Relative: 1 − 10^(−0.4 depth_mag)."""
    sigma_mag: Estimate
    residual_scatter: float
    """Standard deviation of the points used about the most probable model, magnitudes."""

    def model(self, time: FloatArray) -> FloatArray:
        """Magnitude at any times by the most probable draw; shape of ``time``."""
        p = self.posterior.best[None, :]
        return np.asarray(_transit(p, time - self.reference_time)[0])

    def trend(self, time: FloatArray) -> FloatArray:
        """Magnitude out of transit at any times by the most probable draw."""
        p = self.posterior.best
        phase = 2.0 * (time - self.reference_time - p[6]) / p[7]
        return np.asarray(p[0] + p[1] + p[2] + p[3] * phase + p[4] * phase**2)


def magnitudes(flux: FloatArray, flux_error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return −2.5 log₁₀ of a relative flux and its error; NaN where it is not positive."""
    positive = np.where(flux > 0, flux, np.nan)
    return -2.5 * np.log10(positive), 2.5 / np.log(10.0) * flux_error / positive


def fit_quartic(
    time: FloatArray,
    flux: FloatArray,
    settings: SamplerSettings | None = None,
) -> QuarticTransit:
    """Fit one transit of one night and weigh it against a baseline without.

    Parameters
    ----------
    time : ndarray, shape (n,)
        Days, ascending.
    flux : ndarray, shape (n,)
        Relative flux; not positive and NaN are left out.
    settings : SamplerSettings, optional

    Returns
    -------
    QuarticTransit

    Raises
    ------
    UnusableDataError
        If there are too few points, or no dip to start from.
    """
    magnitude = magnitudes(flux, flux)[0]
    usable = np.isfinite(time) & np.isfinite(magnitude)
    if usable.sum() <= len(TRANSIT_NAMES):
        raise UnusableDataError(
            f"{int(usable.sum())} of {flux.size} points can be used; a transit with a quadratic "
            f"trend needs more than its {len(TRANSIT_NAMES)} parameters"
        )
    reference = float(np.mean(time[usable]))
    start, used = _clipped_start(time - reference, flux, magnitude, usable)
    t, f = time[used] - reference, magnitude[used]
    cadence, span = float(np.median(np.diff(t))), float(np.ptp(t))

    def transit(p: FloatArray) -> FloatArray:
        return _log_likelihood(f - _transit(p, t), p[:, 5]) + _log_prior(p, t, cadence, span)

    def without(p: FloatArray) -> FloatArray:
        return _log_likelihood(f - p[:, :3] @ _powers(2.0 * t / span), p[:, 3])

    noise = float(np.exp(start[5]))
    scale = noise / np.sqrt(t.size)
    spread = np.array([scale] * 5 + [0.05, 0.02 * start[7], 0.02 * start[7]])
    posterior = sample(transit, TRANSIT_NAMES, start, spread, settings)
    line = np.linalg.lstsq(_powers(2.0 * t / span).T, f, rcond=None)[0]
    rest = float(np.std(f - line @ _powers(2.0 * t / span)))
    baseline = sample(
        without,
        BASELINE_NAMES,
        np.r_[line, np.log(rest)],
        np.array([rest / np.sqrt(t.size)] * 3 + [0.05]),
        settings,
    )
    return _describe(posterior, baseline, t, f, reference, used)


def _clipped_start(
    t: FloatArray, flux: FloatArray, magnitude: FloatArray, usable: BoolArray
) -> tuple[FloatArray, BoolArray]:
    """Least squares for the mid-time and duration of a trapezoid; points beyond 5σ leave."""
    used = usable
    for _ in range(MAX_CLIPPINGS):
        box = fit_trapezoid(t[used], flux[used])
        # A parabola whose ends are the first and fourth contacts.
        shape = np.array([[0.0, 0.0, 0.0, 0.0, 0.0, 0.0, box.mid_time, box.duration]])
        phase = 2.0 * (t - box.mid_time) / box.duration
        x2 = np.minimum(phase**2, 1.0)
        design = np.stack([x2, x2**2, *_powers(phase)], axis=1)
        shape[0, :5] = np.linalg.lstsq(design[used], magnitude[used], rcond=None)[0]
        residual = magnitude - _transit(shape, t)[0]
        sigma = float(mad_sigma(residual[used]))
        kept = usable & (np.abs(residual) <= CLIP_SIGMA * sigma)
        if np.array_equal(kept, used):
            break
        used = kept
    shape[0, 5] = np.log(max(sigma, 1e-12))
    return _allowed(shape[0]), used


def _allowed(p: FloatArray) -> FloatArray:
    """Move the shape of a start inside its prior, at the same depth."""
    depth = max(-(p[0] + p[1]), 1e-4)
    if p[0] < 0 and (p[1] < 0 or -p[0] / (2.0 * p[1]) > 1.0):
        return p
    return np.concatenate([[-0.5 * depth, -0.5 * depth], p[2:]])


def _powers(phase: FloatArray) -> FloatArray:
    return np.stack([np.ones_like(phase), phase, phase**2])


def _transit(p: FloatArray, t: FloatArray) -> FloatArray:
    """Model of every walker, shape (n_walker, n)."""
    phase = 2.0 * (t - p[:, 6:7]) / p[:, 7:8]
    x2 = np.minimum(phase**2, 1.0)
    trend = p[:, 2:3] + phase * (p[:, 3:4] + phase * p[:, 4:5])
    return np.asarray(x2 * (p[:, 0:1] + x2 * p[:, 1:2]) + trend)


def _log_likelihood(residual: FloatArray, ln_sigma: FloatArray) -> FloatArray:
    n = residual.shape[1]
    chi2 = np.einsum("ij,ij->i", residual, residual) * np.exp(-2.0 * ln_sigma)
    return np.asarray(-0.5 * chi2 - n * (ln_sigma + 0.5 * np.log(2.0 * np.pi)))


def _log_prior(p: FloatArray, t: FloatArray, cadence: float, span: float) -> FloatArray:
    a2, a4, mid, duration = p[:, 0], p[:, 1], p[:, 6], p[:, 7]
    rising = (a2 < 0) & ((a4 < 0) | (-a2 > 2.0 * a4))
    inside = (mid > t[0]) & (mid < t[-1])
    inside &= (duration > MIN_CADENCES * cadence) & (duration < span)
    return np.where(rising & inside, 0.0, -np.inf)


def _describe(
    posterior: Posterior,
    baseline: Posterior,
    t: FloatArray,
    f: FloatArray,
    reference: float,
    used: BoolArray,
) -> QuarticTransit:
    draws = posterior.draws
    depth_mag = -(draws[:, 0] + draws[:, 1])
    mid = estimate(draws[:, 6])
    log_n = np.log(f.size)
    bic = [
        len(of.names) * log_n - 2.0 * float(of.log_probability.max())
        for of in (baseline, posterior)
    ]
    return QuarticTransit(
        posterior=posterior,
        baseline=baseline,
        reference_time=reference,
        used=used,
        # Inside its bounds the prior is constant, and left out of both.
        log_bayes_factor=log_mean_exp(posterior.log_probability)
        - log_mean_exp(baseline.log_probability),
        delta_bic=bic[0] - bic[1],
        mid_time=Estimate(reference + mid.value, mid.minus, mid.plus),
        duration=estimate(draws[:, 7]),
        depth_mag=estimate(depth_mag),
        depth=estimate(1.0 - 10.0 ** (-0.4 * depth_mag)),
        sigma_mag=estimate(np.exp(draws[:, 5])),
        residual_scatter=float(np.std(f - _transit(posterior.best[None, :], t)[0], ddof=8)),
    )
