"""A dark disc that crosses a limb-darkened star on a straight line: a transit without a period.

    z(t)² = b² + [2 (t − t₀) / T₁₄]² · [(1 + k)² − b²]

k is the ratio of the radii, b the impact parameter, T₁₄ the duration from first to fourth
contact, t₀ the mid-time. One transit knows of the orbit no more than that; a period adds the
scale of the orbit and the star's mean density, for a circular orbit (`scaled_orbit`).

Each night has a quadratic trend, in time or in airmass, that multiplies the transit, and the
noise is a common factor on the errors of the points. Both are integrated out in closed form
with flat priors (ln of the factor flat), so that only the parameters of the transit are drawn:

    ln L = −(n − m)/2 · ln χ²_min − 1/2 · ln det(AᵀWA),     m columns of the trend A

References
----------
Mandel, K. & Agol, E. 2002, ApJ 580, L171. Winn, J. N. 2010, arXiv:1001.2010 (contacts, density).
Seager, S. & Mallén-Ornelas, G. 2003, ApJ 585, 1038. Kipping, D. M. 2013, MNRAS 435, 2152.
"""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.limbdark import from_kipping, limb_darkened_flux

NAMES = ("radius_ratio", "impact", "duration", "mid_time", "q1", "q2")
MAX_RADIUS_RATIO = 0.7
TREND_TERMS = 3
"""Constant, linear and quadratic."""
G_SI = 6.6743e-11
DAY_S = 86_400.0


@dataclass(frozen=True)
class LimbDarkening:
    """Prior of the coefficients: even over the physical ones, or Gaussian about given ones.

    Attributes
    ----------
    u1, u2 : float or None
        Given coefficients; None draws them evenly.
    sigma : float
        Standard deviation of both about the given ones; 0 keeps them.
    """

    u1: float | None = None
    u2: float | None = None
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if (self.u1 is None) != (self.u2 is None) or self.sigma < 0:
            raise ValueError(
                f"{self}: give both coefficients or none, and an error that is not negative"
            )

    @property
    def is_fixed(self) -> bool:
        """Whether nothing is left to draw."""
        return self.u1 is not None and self.sigma == 0.0

    def coefficients(self, p: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return (u₁, u₂) of parameters of shape (n, 6), or (n, 4) where they are fixed."""
        if self.is_fixed:
            return np.full(len(p), self.u1, dtype=float), np.full(len(p), self.u2, dtype=float)
        return from_kipping(p[:, 4], p[:, 5])

    def log_prior(self, p: FloatArray) -> FloatArray:
        """Logarithm of the prior, −inf outside of the physical range; shape (n,)."""
        if self.is_fixed:
            return np.zeros(len(p))
        q1, q2 = p[:, 4], p[:, 5]
        inside = (q1 > 0) & (q1 < 1) & (q2 > 0) & (q2 < 1)
        prior = np.where(inside, 0.0, -np.inf)
        if self.u1 is not None and self.u2 is not None:
            u1, u2 = from_kipping(np.where(inside, q1, 0.25), np.where(inside, q2, 0.25))
            # |∂u/∂q| = 2: a Gaussian in u stays one but for a constant.
            prior = prior - 0.5 * ((u1 - self.u1) ** 2 + (u2 - self.u2) ** 2) / self.sigma**2
        return prior


def path_distance(
    time: FloatArray,
    radius_ratio: FloatArray,
    impact: FloatArray,
    duration: FloatArray,
    mid_time: FloatArray,
) -> FloatArray:
    """Distance of the centres on a straight path, stellar radii.

    Parameters
    ----------
    time : ndarray
        Broadcast with the others; one unit for all times.
    radius_ratio, impact : ndarray
        k and b < 1 + k.
    duration, mid_time : ndarray
        First to fourth contact, and mid-time.

    Examples
    --------
    At first contact the discs touch, at mid-time the distance is the impact parameter:

    >>> one = np.ones(2)
    >>> path_distance(np.array([-1.0, 0.0]), 0.1 * one, 0.3 * one, 2.0 * one, 0.0 * one).round(9)
    array([1.1, 0.3])
    """
    across = 2.0 * (time - mid_time) / duration
    return np.sqrt(impact**2 + across**2 * ((1.0 + radius_ratio) ** 2 - impact**2))


def transit_flux(time: FloatArray, p: FloatArray, limb: LimbDarkening) -> FloatArray:
    """Relative flux of many transits, shape (n_model, n_time), of parameters (n_model, 4 or 6).

    Parameters
    ----------
    time : ndarray, shape (n_time,)
    p : ndarray
        Columns as :data:`NAMES`; without the last two where the limb darkening is fixed.
    limb : LimbDarkening
    """
    u1, u2 = limb.coefficients(p)
    k, b, duration, mid = (p[:, i : i + 1] for i in range(4))
    z = path_distance(time, k, b, duration, mid)
    return limb_darkened_flux(z, k, u1[:, None], u2[:, None])


@dataclass(frozen=True, eq=False)
class TransitData:
    """Points of one or several transits of one star.

    Attributes
    ----------
    time : ndarray, shape (n,)
        Relative to some reference; nights folded onto one event.
    flux, error : ndarray, shape (n,)
        Only the ratios of the errors matter.
    trend : ndarray, shape (n, m)
        Columns of the trends, three per night.
    """

    time: FloatArray
    flux: FloatArray
    error: FloatArray
    trend: FloatArray

    def solve(self, p: FloatArray, limb: LimbDarkening) -> tuple[FloatArray, FloatArray]:
        """Fit the trends beside given transits: coefficients (n_model, m) and ln L (n_model,)."""
        model = transit_flux(self.time, p, limb)
        weighted = self.trend / self.error[:, None]
        design = model[:, :, None] * weighted
        y = self.flux / self.error
        transposed = design.transpose(0, 2, 1)
        normal = transposed @ design
        coefficients = np.linalg.solve(normal, (transposed @ y)[:, :, None])
        residual = y - (design @ coefficients)[:, :, 0]
        chi2 = (residual**2).sum(axis=1)
        freedom = self.flux.size - self.trend.shape[1]
        log_likelihood = -0.5 * freedom * np.log(chi2) - 0.5 * np.linalg.slogdet(normal)[1]
        return np.asarray(coefficients[:, :, 0], dtype=np.float64), np.asarray(log_likelihood)


@dataclass(frozen=True)
class TransitBounds:
    """Even priors: where mid-time and duration may lie (days, as the data's times)."""

    first: float
    last: float
    shortest: float
    longest: float

    def log_prior(self, p: FloatArray) -> FloatArray:
        """Logarithm of the prior: even in k, b / (1 + k), T₁₄ and t₀ within the bounds."""
        k, b, duration, mid = p[:, 0], p[:, 1], p[:, 2], p[:, 3]
        inside = (k > 0) & (k < MAX_RADIUS_RATIO) & (b >= 0) & (b < 1.0 + k)
        inside &= (mid > self.first) & (mid < self.last)
        inside &= (duration > self.shortest) & (duration < self.longest)
        # Even in b / (1 + k), so that grazing large discs are not favoured by their room.
        return np.where(inside, -np.log1p(np.where(inside, k, 0.0)), -np.inf)


def log_posterior(
    p: FloatArray, data: TransitData, bounds: TransitBounds, limb: LimbDarkening
) -> FloatArray:
    """Logarithm of the posterior of many parameters at once, shape (n_model,)."""
    prior = bounds.log_prior(p) + limb.log_prior(p)
    answer = np.full(len(p), -np.inf)
    possible = np.isfinite(prior)
    if possible.any():
        answer[possible] = prior[possible] + data.solve(p[possible], limb)[1]
    return answer


def scaled_orbit(
    radius_ratio: FloatArray, impact: FloatArray, duration_days: FloatArray, period_days: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return a/R*, the inclination (degrees) and the star's mean density (g cm⁻³).

    For a circular orbit and a light companion: ``sin²(π T₁₄ / P) · sin² i · (a/R*)² =
    (1 + k)² − b²`` with ``cos i = b / (a/R*)``, and Kepler's third law.

    Parameters
    ----------
    radius_ratio, impact, duration_days : ndarray, shape (n,)
    period_days : float

    Examples
    --------
    The Earth before the Sun: 13.1 h, a/R* of 215, 1.41 g cm⁻³.

    >>> one = np.ones(1)
    >>> scale, _, density = scaled_orbit(0.00917 * one, 0.0 * one, 0.5453 * one, 365.25)
    >>> round(float(scale[0])), round(float(density[0]), 1)
    (215, 1.4)
    """
    s2 = np.sin(np.pi * duration_days / period_days) ** 2
    scale = np.sqrt(((1.0 + radius_ratio) ** 2 - impact**2 * (1.0 - s2)) / s2)
    inclination = np.degrees(np.arccos(np.clip(impact / scale, 0.0, 1.0)))
    period_s = period_days * DAY_S
    density_si = 3.0 * np.pi / (G_SI * period_s**2) * scale**3
    return scale, inclination, density_si / 1000.0
