"""Zero point of each frame as a polynomial over the field, fitted to the ensemble.

For frame t, with basis a_j of star j (1; 1, x, y; …) and weight w_j, the coefficients are
``M⁻¹ Σ w_j a_j f_j`` with ``M = Σ w_j a_j a_jᵀ``. The surface that the *other* stars make at
star j needs no second fit: with leverage ``h = w_j a_jᵀ M⁻¹ a_j`` it is
``(ŷ_j − h f_j) / (1 − h)``. A constant basis gives the weighted mean.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.scatter import Medians, mad_sigma

MAX_LEVERAGE = 0.999
"""Beyond, a star is the surface at its own place, and nothing is left to compare it with."""

STARS_AT_A_TIME = 32
"""In a thousand frames: what is computed of them stays in the processor's cache."""

RIDGE = 1e-9
"""Relative to the trace; keeps frames solvable in which the members lie on a line."""


@dataclass(frozen=True)
class Comparison:
    """Zero point at each star without the star itself; shapes (n_source, n_frame)."""

    value: FloatArray
    """NaN where no other member is measured."""
    variance: FloatArray
    """Propagated from the members' errors."""


def weigh(
    f: FloatArray, variance: FloatArray, usable: BoolArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights of members where they are usable, times their flux, and squared times variance.

    Parameters
    ----------
    f : ndarray, shape (n_member, n_frame)
    variance : ndarray, shape (n_member, n_frame) or (n_member, 1)
    usable : ndarray of bool, shape (n_member, n_frame)
    weight : ndarray, shape (n_member,)

    Returns
    -------
    three ndarrays, shape (n_member, n_frame)
    """
    w = weight[:, None] * usable
    return w, w * f, w**2 * variance


def leave_out(
    value: FloatArray,
    spread: FloatArray,
    member: IntArray,
    leverage: FloatArray,
    weight: FloatArray,
    f: FloatArray,
    variance: FloatArray,
) -> None:
    """Take each member out of the surface at its own place.

    Parameters
    ----------
    value, spread : ndarray, shape (n_source, n_frame)
        The surface at each star and its variance; changed in place, to NaN where no member is
        measured or the rest of them makes no positive zero point.
    member : ndarray of int, shape (n_member,)
    leverage, weight, f : ndarray, shape (n_member, n_frame)
        ``aᵀ M⁻¹ a``; weight, 0 where not usable; flux over the mean.
    variance : ndarray, shape (n_member, n_frame) or (n_member, 1)
        Of f.
    """
    for start in range(0, len(member), STARS_AT_A_TIME):
        part = slice(start, start + STARS_AT_A_TIME)
        stars, h = member[part], leverage[part] * weight[part]
        rest = np.where(h < MAX_LEVERAGE, 1.0 - h, np.nan)
        value[stars] = (value[stars] - h * f[part]) / rest
        # The star's own share of the variance leaves with it; rounding must not make it negative.
        others = np.maximum(spread[stars] - h**2 * variance[part], 0.0)
        spread[stars] = others / rest**2
    nowhere = ~((weight > 0).any(axis=0) & (value > 0))
    value[nowhere] = np.nan
    spread[nowhere] = np.nan


def mad_of_ratio(f: FloatArray, value: FloatArray, usable: BoolArray) -> FloatArray:
    """Robust scatter of ``f / value`` of each star over the usable frames, shape (n_source,)."""
    return mad_sigma(np.where(usable, f / value, np.nan))


Weigh = Callable[
    [FloatArray, FloatArray, BoolArray, FloatArray], tuple[FloatArray, FloatArray, FloatArray]
]
LeaveOut = Callable[
    [FloatArray, FloatArray, IntArray, FloatArray, FloatArray, FloatArray, FloatArray], None
]


@dataclass(frozen=True)
class Arithmetic(Medians):
    """How light curves are compared with those of others: by default plainly.

    Compiled functions give the same numbers, to the last bit, in less time.
    """

    weigh: Weigh = weigh
    leave_out: LeaveOut = leave_out
    mad_of_ratio: Callable[[FloatArray, FloatArray, BoolArray], FloatArray] = mad_of_ratio


PLAIN = Arithmetic()


def field_basis(x: FloatArray, y: FloatArray, order: int) -> FloatArray:
    """Polynomials of position up to a total order, shape (n_source, n_term).

    Positions are centred and scaled to about ±1, so that the terms are comparable.

    Examples
    --------
    >>> field_basis(np.array([0.0, 10.0]), np.array([0.0, 10.0]), 1)
    array([[ 1., -1., -1.],
           [ 1.,  1.,  1.]])
    """
    half = max(float(np.ptp(x)), float(np.ptp(y)), 1e-300) / 2.0
    u = (x - 0.5 * (x.min() + x.max())) / half
    v = (y - 0.5 * (y.min() + y.max())) / half
    terms = [u ** (n - k) * v**k for n in range(order + 1) for k in range(n + 1)]
    return np.column_stack(terms)


def compare_with_surface(
    f: FloatArray,
    variance: FloatArray,
    usable: BoolArray,
    weight: FloatArray,
    basis: FloatArray,
    arithmetic: Arithmetic = PLAIN,
) -> Comparison:
    """Zero point at each star from all the others.

    Parameters
    ----------
    f : ndarray, shape (n_source, n_frame)
        Flux over the star's mean, finite.
    variance : ndarray, shape (n_source, n_frame) or (n_source, 1)
        Of f.
    usable : ndarray of bool, shape (n_source, n_frame)
    weight : ndarray, shape (n_source,)
        Zero for a star that is not a member.
    basis : ndarray, shape (n_source, n_term)
    arithmetic : Arithmetic, optional

    Returns
    -------
    Comparison
    """
    member = np.flatnonzero(weight > 0)
    a, own_variance, of_members = basis[member], variance[member], f[member]
    w, light, noise = arithmetic.weigh(of_members, own_variance, usable[member], weight[member])
    inverse = _inverse(_moments(a, w))
    coefficients = (inverse @ (light.T @ a)[:, :, None])[:, :, 0]
    value = basis @ coefficients.T
    spread = _quadratic(basis, inverse @ _moments(a, noise) @ inverse)
    leverage = _quadratic(a, inverse)
    arithmetic.leave_out(value, spread, member, leverage, w, of_members, own_variance)
    return Comparison(value, spread)


def _moments(a: FloatArray, w: FloatArray) -> FloatArray:
    """``Σ_j w_jt a_j a_jᵀ`` for every frame, shape (n_frame, n_term, n_term)."""
    return np.asarray((w.T @ _outer(a)).reshape(w.shape[1], a.shape[1], a.shape[1]))


def _quadratic(a: FloatArray, matrix: FloatArray) -> FloatArray:
    """``a_jᵀ C_t a_j`` for every star and frame, shape (n_source, n_frame)."""
    return np.asarray(_outer(a) @ matrix.reshape(matrix.shape[0], -1).T)


def _outer(a: FloatArray) -> FloatArray:
    return np.asarray((a[:, :, None] * a[:, None, :]).reshape(a.shape[0], -1))


def _inverse(moments: FloatArray) -> FloatArray:
    """Inverse of each frame's normal matrix; of a frame without members, of the ridge alone."""
    trace = np.trace(moments, axis1=1, axis2=2)
    ridge = RIDGE * np.where(trace > 0, trace, 1.0)
    return np.asarray(np.linalg.inv(moments + ridge[:, None, None] * np.eye(moments.shape[1])))
