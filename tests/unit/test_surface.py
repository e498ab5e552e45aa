import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.science.surface import compare_with_surface, field_basis


def _field(seed, n=30, n_frame=12):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 600, n), rng.uniform(0, 400, n)
    f = 1 + 0.01 * rng.normal(size=(n, n_frame))
    usable = rng.random((n, n_frame)) < 0.9
    weight = np.where(rng.random(n) < 0.8, rng.uniform(1, 5, n), 0.0)
    return x, y, np.where(usable, f, 0.0), usable, weight


def test_terms_of_each_order():
    assert [field_basis(np.arange(3.0), np.arange(3.0), order).shape[1] for order in range(4)] == [
        1,
        3,
        6,
        10,
    ]


def test_a_constant_basis_gives_the_weighted_mean_of_the_others():
    f = np.array([[1.0], [2.0], [4.0], [9.0]])
    weight = np.array([1.0, 1.0, 2.0, 0.0])
    variance = np.array([[0.1], [0.2], [0.3], [0.4]])
    surface = compare_with_surface(f, variance, np.ones((4, 1), bool), weight, np.ones((4, 1)))
    # Without itself: (2 + 2·4)/3, (1 + 2·4)/3, (1 + 2)/2; a star that is no member: 11/4.
    assert surface.value[:, 0] == pytest.approx([10 / 3, 3.0, 1.5, 11 / 4])
    expected = [(0.2 + 4 * 0.3) / 9, (0.1 + 4 * 0.3) / 9, 0.3 / 4, (0.1 + 0.2 + 4 * 0.3) / 16]
    assert surface.variance[:, 0] == pytest.approx(expected)


@pytest.mark.parametrize("order", [1, 2])
@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_a_polynomial_zero_point_is_recovered_at_every_star(order, seed):
    x, y, f, usable, weight = _field(seed)
    basis = field_basis(x, y, order)
    coefficients = np.random.default_rng(seed).normal(0, 0.05, (basis.shape[1], f.shape[1]))
    coefficients[0] += 2.0
    truth = basis @ coefficients
    surface = compare_with_surface(
        np.where(usable, truth, 0.0), np.ones((30, 1)), usable, weight, basis
    )
    known = np.isfinite(surface.value)
    assert known.mean() > 0.9
    np.testing.assert_allclose(surface.value[known], truth[known], rtol=1e-4)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_the_shortcut_equals_a_fit_without_the_star(order):
    x, y, f, usable, weight = _field(5)
    basis, variance = field_basis(x, y, order), np.full((30, 1), 0.01**2)
    whole = compare_with_surface(f, variance, usable, weight, basis)
    for star in np.flatnonzero(weight)[:5]:
        without = weight.copy()
        without[star] = 0.0
        refit = compare_with_surface(f, variance, usable, without, basis)
        np.testing.assert_allclose(whole.value[star], refit.value[star], rtol=1e-6)
        np.testing.assert_allclose(whole.variance[star], refit.variance[star], rtol=1e-5)


def test_a_star_does_not_influence_its_own_comparison():
    x, y, f, usable, weight = _field(6)
    basis = field_basis(x, y, 1)
    star = int(np.flatnonzero(weight)[0])
    louder = f.copy()
    louder[star] *= 1.5
    before = compare_with_surface(f, np.ones((30, 1)), usable, weight, basis)
    after = compare_with_surface(louder, np.ones((30, 1)), usable, weight, basis)
    np.testing.assert_allclose(after.value[star], before.value[star], rtol=1e-6)


def test_a_frame_without_members_has_no_zero_point():
    x, y, f, usable, weight = _field(7)
    usable[:, 3] = False
    surface = compare_with_surface(f, np.ones((30, 1)), usable, weight, field_basis(x, y, 1))
    assert np.isnan(surface.value[:, 3]).all()
    assert np.isfinite(surface.value[:, 4]).all()


def test_a_single_member_cannot_be_compared_with_itself():
    surface = compare_with_surface(
        np.ones((2, 3)),
        np.ones((2, 1)),
        np.ones((2, 3), bool),
        np.array([1.0, 0.0]),
        np.ones((2, 1)),
    )
    assert np.isnan(surface.value[0]).all()
    np.testing.assert_allclose(surface.value[1], 1.0)
