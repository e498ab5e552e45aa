"""Compiled kernels against their plain references: each star against the others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.kernels import compiled_kernels
from tianyu.pipelines.medians import MANY, medians_for
from tianyu.pipelines.science.surface import (
    MAX_LEVERAGE,
    PLAIN,
    compare_with_surface,
    field_basis,
)

N_STAR, N_FRAME = 12, 9
ODD = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-300, 1e300])


def odd_numbers(rng, *shape):
    """Return numbers, many of which are none or have no size."""
    values = rng.normal(1.0, 1.0, shape)
    return np.where(rng.random(shape) < 0.2, rng.choice(ODD, shape), values)


@pytest.fixture(scope="module")
def compiled():
    if not compiled_kernels():
        pytest.skip("the settings ask for the references")
    return medians_for(MANY)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(0, N_STAR), has_own_errors=st.booleans())
def test_members_leave_the_surface_alike(compiled, seed, n, has_own_errors):
    rng = np.random.default_rng(seed)
    member = np.sort(rng.permutation(N_STAR)[:n])
    leverage = rng.choice([0.0, 0.3, 1.0, MAX_LEVERAGE], (n, N_FRAME)) * rng.choice([1.0, 0.7])
    weight = rng.choice([0.0, 0.5, 1.0], (n, N_FRAME))
    variance = odd_numbers(rng, n, N_FRAME if has_own_errors else 1)
    rest = member, leverage, weight, odd_numbers(rng, n, N_FRAME), variance
    value, spread = odd_numbers(rng, 2, N_STAR, N_FRAME)
    expected = value.copy(), spread.copy()
    with np.errstate(all="ignore"):
        PLAIN.leave_out(*expected, *rest)
        compiled.leave_out(value, spread, *rest)
    np.testing.assert_array_equal(value, expected[0])
    np.testing.assert_array_equal(spread, expected[1])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(0, N_STAR), has_own_errors=st.booleans())
def test_members_are_weighed_alike(compiled, seed, n, has_own_errors):
    rng = np.random.default_rng(seed)
    variance = odd_numbers(rng, n, N_FRAME if has_own_errors else 1)
    usable, weight = rng.random((n, N_FRAME)) < 0.8, rng.uniform(0.1, 9.0, n)
    with np.errstate(all="ignore"):
        arguments = odd_numbers(rng, n, N_FRAME), variance, usable, weight
        for fast, plain in zip(compiled.weigh(*arguments), PLAIN.weigh(*arguments), strict=True):
            np.testing.assert_array_equal(fast, plain)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), n_frame=st.sampled_from([0, 1, 8, 80]))
def test_scatter_about_the_others_is_the_same(compiled, seed, n_frame):
    rng = np.random.default_rng(seed)
    f, value = odd_numbers(rng, 2, 5, n_frame)
    usable = rng.random((5, n_frame)) < 0.8
    with np.errstate(all="ignore"):
        expected = PLAIN.mad_of_ratio(f, value, usable)
        np.testing.assert_array_equal(compiled.mad_of_ratio(f, value, usable), expected)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_night_with_gaps_is_compared_alike(compiled, order):
    rng = np.random.default_rng(order)
    shape = 70, 41
    usable = rng.random(shape) < 0.9
    usable[:, 7] = False
    f = np.where(usable, rng.normal(1.0, 0.01, shape), 0.0)
    weight = np.where(rng.random(70) < 0.6, rng.uniform(1.0, 5.0, 70), 0.0)
    basis = field_basis(rng.uniform(0, 600, 70), rng.uniform(0, 400, 70), order)
    for variance in (np.full((70, 1), 1e-4), rng.uniform(1e-5, 1e-4, shape)):
        plain = compare_with_surface(f, variance, usable, weight, basis)
        fast = compare_with_surface(f, variance, usable, weight, basis, compiled)
        np.testing.assert_array_equal(fast.value, plain.value)
        np.testing.assert_array_equal(fast.variance, plain.variance)
        assert np.isnan(plain.value[:, 7]).all()
        assert np.isfinite(np.delete(plain.value, 7, axis=1)).all()
