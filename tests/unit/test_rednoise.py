import numpy as np
import pytest

from tianyu.pipelines.science.rednoise import red_noise_factor


@pytest.fixture
def rng():
    return np.random.default_rng(20171220)


def test_white_noise_has_none(rng):
    time = np.arange(5000) * 0.001
    beta = red_noise_factor(time, rng.normal(size=(4, 5000)), np.ones(4), 0.02)
    assert beta == pytest.approx(np.ones(4), abs=0.15)
    assert (beta >= 1.0).all()


def test_fully_correlated_bins_of_n_points_have_the_root_of_n(rng):
    time = np.arange(4000) * 1.0
    level = np.repeat(rng.normal(size=400), 10)
    beta = red_noise_factor(time, level[None, :], np.ones(1), 10.0)
    assert beta[0] == pytest.approx(np.sqrt(10.0), rel=0.1)


def test_missing_points_are_left_out(rng):
    time = np.arange(4000) * 1.0
    residual = np.repeat(rng.normal(size=400), 10)[None, :].copy()
    residual[0, ::2] = np.nan
    assert red_noise_factor(time, residual, np.ones(1), 10.0)[0] == pytest.approx(5**0.5, rel=0.1)


@pytest.mark.parametrize(("n_frame", "sigma"), [(0, 1.0), (3, 1.0), (100, 0.0)])
def test_too_few_bins_or_no_noise_give_one(n_frame, sigma):
    residual = np.ones((1, n_frame))
    assert red_noise_factor(np.arange(n_frame) * 1.0, residual, np.full(1, sigma), 2.0)[0] == 1.0
