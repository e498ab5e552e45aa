"""The quartic transit of the paper's appendix C: its model, its priors, its Bayes factor."""

import numpy as np
import pytest

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.quartic import _log_prior, _transit, fit_quartic, magnitudes
from tianyu.pipelines.science.sampling import SamplerSettings

TIME = 2_458_107.0 + np.linspace(0.57, 0.86, 120)
SETTINGS = SamplerSettings(seed=2, n_walker=20, max_steps=1000)
TRUE = np.array([[-0.005, -0.020, 0.010, 0.001, 0.0005, 0.0, 0.142, 0.125]])
"""A2, A4, c0, c1, c2, -, mid-time since 2458107.57, duration: 25 mmag deep."""


def flux(sigma, seed=1, p=TRUE):
    noise = sigma * np.random.default_rng(seed).normal(size=TIME.size)
    return 10.0 ** (-0.4 * (_transit(p, TIME - 2_458_107.57)[0] + noise))


def test_the_model_by_hand():
    # At mid-time x = 0: c0. At x = 1/2: A2/4 + A4/16 + c1/2 + c2/4. Outside x = 1, the trend on.
    p = np.array([[-4.0, -16.0, 3.0, 2.0, 1.0, 0.0, 10.0, 2.0]])
    np.testing.assert_allclose(_transit(p, np.array([10.0, 10.5, 12.0]))[0], [3, 2.25, -9])


@pytest.mark.parametrize(
    ("a2", "a4", "is_allowed"),
    [
        (-1.0, -1.0, True),
        (-1.0, 0.4, True),  # -A2/2A4 = 1.25 > 1: brightens all the way to the ends
        (-1.0, 0.6, False),  # 0.83: turns back inside
        (1.0, -2.0, False),
    ],
)
def test_the_prior(a2, a4, is_allowed):
    p = np.array([[a2, a4, 0.0, 0.0, 0.0, 0.0, 0.15, 0.1]])
    t = np.linspace(0.0, 0.3, 100)
    assert np.isfinite(_log_prior(p, t, 0.003, 0.3))[0] == is_allowed


def test_an_injected_event_is_recovered_within_its_errors():
    found = fit_quartic(TIME, flux(0.003), SETTINGS)
    assert abs(found.mid_time.value - 2_458_107.712) < 4.0 * found.mid_time.error
    assert abs(found.duration.value - 0.125) < 4.0 * found.duration.error
    assert abs(found.depth_mag.value - 0.025) < 4.0 * found.depth_mag.error
    assert abs(found.sigma_mag.value - 0.003) < 4.0 * found.sigma_mag.error
    assert found.log_bayes_factor > 20.0
    assert found.delta_bic > 40.0
    # The model and its trend differ by nothing outside of the event.
    assert found.model(TIME)[0] == pytest.approx(found.trend(TIME)[0])


def test_nothing_but_noise_gives_no_evidence():
    quiet = TRUE * np.array([[0, 0, 1, 1, 1, 1, 1, 1]])
    found = fit_quartic(TIME, flux(0.003, p=quiet), SETTINGS)
    assert found.log_bayes_factor < 8.0
    assert found.delta_bic < 5.0


def test_outliers_leave_and_faint_points_do_not_stop_it():
    measured = flux(0.003)
    measured[[10, 75]] = 1.3, -0.1
    found = fit_quartic(TIME, measured, SETTINGS)
    assert np.flatnonzero(~found.used).tolist() == [10, 75]


def test_magnitudes_of_a_flux():
    value, error = magnitudes(np.array([1.0, 0.1, -1.0]), np.array([0.01, 0.001, 0.1]))
    np.testing.assert_allclose(value, [0.0, 2.5, np.nan])
    np.testing.assert_allclose(error[:2], 0.010857, rtol=1e-3)


def test_too_few_points_are_refused():
    with pytest.raises(UnusableDataError, match="needs more than its 8 parameters"):
        fit_quartic(TIME[:8], np.ones(8), SETTINGS)
