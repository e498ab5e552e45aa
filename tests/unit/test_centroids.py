"""Windowed centroids: the star's own place, and none for a star that runs away."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.science.centroids import windowed_steps

FWHM = 3.5
PLACE = st.floats(-0.8, 0.8)


def star(x, y, half=10):
    row, column = np.mgrid[-half : half + 1, -half : half + 1]
    sigma = FWHM / 2.3548
    return np.exp(-0.5 * ((column - x) ** 2 + (row - y) ** 2) / sigma**2).astype(np.float32)


@given(PLACE, PLACE, PLACE, PLACE)
@settings(max_examples=40, deadline=None)
def test_steps_lead_from_the_given_place_to_the_star(x, y, x_given, y_given):
    given_at = np.array([x_given]), np.array([y_given])
    step_x, step_y = windowed_steps(star(x, y)[np.newaxis], *given_at, FWHM)
    assert x_given + step_x[0] == pytest.approx(x, abs=0.005)
    assert y_given + step_y[0] == pytest.approx(y, abs=0.005)


@pytest.mark.parametrize("stamp", [star(6.0, 0.0), -star(0.0, 0.0), np.zeros((21, 21), np.float32)])
def test_a_centroid_that_leaves_or_has_no_light_stays_where_it_was(stamp):
    step_x, step_y = windowed_steps(stamp[np.newaxis], np.array([0.1]), np.array([0.2]), FWHM)
    assert (step_x[0], step_y[0]) == (0.0, 0.0)


def test_no_sources_take_no_steps():
    step_x, step_y = windowed_steps(np.empty((0, 9, 9), np.float32), np.empty(0), np.empty(0), FWHM)
    assert step_x.shape == step_y.shape == (0,)
