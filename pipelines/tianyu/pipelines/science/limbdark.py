"""Light of a star with a dark disc before it, for quadratic limb darkening.

    I(μ) = 1 − u₁ (1 − μ) − u₂ (1 − μ)²,    μ = √(1 − r²)

The disc of radius k, at a distance z from the star's centre (both in stellar radii), hides of
each ring of the star the arc of half-angle κ(r) = arccos((r² + z² − k²) / 2rz):

    1 − F = ∫ 2 r κ(r) I(r) dr / [π (1 − u₁/3 − u₂/6)],    |z − k| ≤ r ≤ min(1, z + k)

and whole rings inside, where the disc covers the centre. κ and μ behave as square roots at the
ends of the range; in the angle θ of r = m − h cos θ both are smooth, so that Gauss-Legendre
quadrature converges fast. This is exact for discs of any size, unlike small-planet formulae.

References
----------
Mandel, K. & Agol, E. 2002, ApJ 580, L171 (the light curve in closed form).
Kipping, D. M. 2013, MNRAS 435, 2152 (coefficients drawn evenly from the physical ones).
"""

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray

N_NODE = 16
"""Of the quadrature: errors below 10⁻⁸ of the flux for discs up to 0.8 stellar radii."""

_NODE, _WEIGHT = np.polynomial.legendre.leggauss(N_NODE)
_ANGLE = 0.5 * np.pi * (_NODE + 1.0)
_COSINE, _JACOBIAN = np.cos(_ANGLE), 0.5 * np.pi * _WEIGHT * np.sin(_ANGLE)


def limb_darkened_flux(z: FloatArray, k: FloatArray, u1: FloatArray, u2: FloatArray) -> FloatArray:
    """Compute the flux of a star, relative to the whole, with a dark disc before it.

    Parameters
    ----------
    z : ndarray
        Distance of the centres, stellar radii, not negative.
    k : ndarray
        Radius of the disc, stellar radii, not negative; broadcast with the others.
    u1, u2 : ndarray
        Coefficients of quadratic limb darkening.

    Returns
    -------
    ndarray
        Of the broadcast shape; 1 without overlap.

    Examples
    --------
    A disc of a tenth of the radius before a uniform star hides a hundredth:

    >>> zero = np.zeros(1)
    >>> round(float(limb_darkened_flux(zero, np.array([0.1]), zero, zero)[0]), 9)
    0.99
    """
    z, k, u1, u2 = np.broadcast_arrays(*(np.asarray(a, dtype=np.float64) for a in (z, k, u1, u2)))
    flux = np.ones(z.shape)
    over = (z < 1.0 + k) & (k > 0.0)
    if over.any():
        z, k, u1, u2 = z[over], k[over], u1[over], u2[over]
        hidden = _hidden_arcs(z, k, u1, u2) + _hidden_rings(np.clip(k - z, 0.0, 1.0), u1, u2)
        flux[over] = 1.0 - hidden / (np.pi * (1.0 - u1 / 3.0 - u2 / 6.0))
    return flux


def _hidden_rings(radius: FloatArray, u1: FloatArray, u2: FloatArray) -> FloatArray:
    """Light within a radius: 2π ∫ I r dr, with ∫ from μ(radius) to 1 of I μ dμ."""
    mu = np.sqrt(1.0 - radius**2)
    first, second = (1.0 - mu**2) / 2.0, (1.0 - mu**3) / 3.0
    third = (1.0 - mu**4) / 4.0
    return np.asarray(
        2.0 * np.pi * ((1.0 - u1 - u2) * first + (u1 + 2.0 * u2) * second - u2 * third)
    )


def _hidden_arcs(z: FloatArray, k: FloatArray, u1: FloatArray, u2: FloatArray) -> FloatArray:
    """Light of the rings that are hidden in part."""
    low, high = np.minimum(np.abs(z - k), 1.0), np.minimum(1.0, z + k)
    half = 0.5 * (high - low)
    r = (0.5 * (high + low))[:, None] - half[:, None] * _COSINE
    z, k = z[:, None], k[:, None]
    # A disc that is centred leaves no ring hidden in part; its range is empty.
    cosine = (r**2 + z**2 - k**2) / np.maximum(2.0 * r * z, 1e-300)
    arc = np.arccos(np.clip(cosine, -1.0, 1.0))
    dark = 1.0 - np.sqrt(np.maximum(1.0 - r**2, 0.0))
    light = 1.0 - u1[:, None] * dark - u2[:, None] * dark**2
    return np.asarray(2.0 * half * ((r * arc * light) @ _JACOBIAN))


def from_kipping(q1: FloatArray, q2: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (u₁, u₂) of Kipping's (q₁, q₂), each in [0, 1].

    Evenly drawn q cover evenly those pairs for which the star is bright everywhere and darkens
    towards its limb.

    Examples
    --------
    >>> u1, u2 = from_kipping(np.array([0.36]), np.array([0.25]))
    >>> round(float(u1[0]), 9), round(float(u2[0]), 9)
    (0.3, 0.3)
    """
    root = np.sqrt(q1)
    return 2.0 * root * q2, root * (1.0 - 2.0 * q2)
