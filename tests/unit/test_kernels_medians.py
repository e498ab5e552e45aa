"""Compiled medians give the numbers of the plain ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tianyu.pipelines.kernels import compiled_kernels
from tianyu.pipelines.medians import MANY, medians_for
from tianyu.pipelines.science.scatter import finite_median, mad_sigma


@pytest.fixture(scope="module")
def compiled():
    if not compiled_kernels():
        pytest.skip("the settings ask for the references")
    return medians_for(MANY)


ties = st.integers(-3, 3).map(float)
anything = st.floats(-1e30, 1e30) | ties | st.sampled_from([np.nan, np.inf, -np.inf, -0.0])


@settings(max_examples=40)
@given(values=arrays(np.float64, array_shapes(min_dims=1, max_dims=2, max_side=60), elements=ties))
def test_medians_of_ties(compiled, values):
    np.testing.assert_array_equal(compiled.median(values), finite_median(values))
    np.testing.assert_array_equal(compiled.mad(values), mad_sigma(values))


@settings(max_examples=40)
@given(
    values=arrays(np.float64, array_shapes(min_dims=1, max_dims=2, max_side=90), elements=anything)
)
def test_medians_among_what_is_not_finite(compiled, values):
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(compiled.median(values), finite_median(values))
        np.testing.assert_array_equal(compiled.mad(values), mad_sigma(values))


@pytest.mark.parametrize("n", [998, 999])
@pytest.mark.parametrize(
    "shape_of",
    [
        np.sort,
        np.abs,
        np.ones_like,
        lambda noise: np.where(noise > 1.02, np.nan, noise),
        lambda noise: np.round(noise, 2),
        lambda noise: np.exp(300.0 * noise),
        lambda noise: np.where(noise > 1.02, -1.5e308, 1.5e308 * noise),
    ],
)
def test_medians_of_long_rows(compiled, n, shape_of):
    values = shape_of(np.random.default_rng(n).normal(1.0, 0.01, (40, n)))
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(compiled.median(values), finite_median(values))
        np.testing.assert_array_equal(compiled.mad(values), mad_sigma(values))
        np.testing.assert_array_equal(compiled.median(values.T), finite_median(values.T))


def test_rows_without_values(compiled):
    assert np.isnan(compiled.median(np.empty((3, 0)))).all()
    assert compiled.mad(np.empty((0, 4))).shape == (0,)
