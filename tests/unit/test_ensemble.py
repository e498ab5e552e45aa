import numpy as np
import pytest

from tianyu.pipelines.science.ensemble import weighted_ensemble
from tianyu.pipelines.science.flags import FluxFlag

N_STAR, N_FRAME = 40, 400


class Night:
    """Photon noise behind cloud; star 5 is a target with a dip of 2 %."""

    def __init__(self, seed=4):
        rng = np.random.default_rng(seed)
        self.x, self.y = rng.uniform(0, 500, (2, N_STAR))
        self.mean = 10 ** rng.uniform(4.3, 5.3, N_STAR)
        self.cloud = rng.uniform(0.5, 1.0, N_FRAME)
        self.signal = np.ones((N_STAR, N_FRAME))
        self.signal[5, 150:250] = 0.98
        truth = self.mean[:, None] * self.cloud * self.signal
        self.error = np.sqrt(truth)
        self.flux = truth + self.error * rng.normal(size=truth.shape)
        self.flags = np.zeros(truth.shape, dtype=np.uint16)
        self.good = np.ones(N_FRAME, dtype=bool)

    def reduce(self, **options):
        return weighted_ensemble(
            self.flux,
            self.error,
            self.flags,
            self.good,
            self.x,
            self.y,
            np.ones(N_STAR, dtype=bool),
            **options,
        )


@pytest.fixture
def night():
    return Night()


def test_the_dip_is_recovered_within_its_error(night):
    curve = night.reduce().flux[5]
    inside = np.arange(N_FRAME) // 100 == 1
    inside = (np.arange(N_FRAME) >= 150) & (np.arange(N_FRAME) < 250)
    depth = 1.0 - curve[inside].mean() / curve[~inside].mean()
    sigma = (night.error[5] / night.flux[5]).mean() * np.sqrt(1 / 100 + 1 / 300)
    assert abs(depth - 0.02) < 3.5 * sigma


def test_the_errors_predict_the_scatter(night):
    relative = night.reduce()
    constant = np.delete(np.arange(N_STAR), 5)
    ratio = (relative.flux[constant] - 1).std(axis=1) / np.sqrt(
        (relative.error[constant] ** 2).mean(axis=1)
    )
    assert np.median(ratio) == pytest.approx(1.0, abs=0.05)


def test_the_median_of_the_good_frames_is_one(night):
    night.good[:50] = False
    relative = night.reduce()
    np.testing.assert_allclose(np.median(relative.flux[:, 50:], axis=1), 1.0)
    assert (relative.flags[:, :50] == FluxFlag.FRAME_REJECTED).all()
    assert np.isfinite(relative.flux[:, :50]).all()


def test_missing_members_do_not_make_a_jump(night):
    whole = night.reduce().flux
    brightest = np.argsort(-night.mean)[:2]
    night.flux[brightest, 100:115] = np.nan
    gappy = night.reduce().flux
    rest = np.setdiff1d(np.arange(N_STAR), brightest)
    change = (gappy / whole)[rest] - 1.0
    assert np.abs(change[:, 100:115].mean()) < 1e-3
    assert np.isnan(gappy[brightest, 100:115]).all()


def test_the_nan_of_one_star_does_not_spread(night):
    night.flux[11] = np.nan
    relative = night.reduce()
    assert np.isnan(relative.flux[11]).all()
    assert np.isfinite(np.delete(relative.flux, 11, axis=0)).all()


def test_a_known_transparency_changes_nothing_without_gaps(night):
    with_it = night.reduce(transparency=night.cloud)
    np.testing.assert_allclose(with_it.flux, night.reduce().flux, rtol=2e-3)


def test_the_callers_arrays_are_not_changed(night):
    flux, flags = night.flux.copy(), night.flags.copy()
    night.reduce()
    np.testing.assert_array_equal(night.flux, flux)
    np.testing.assert_array_equal(night.flags, flags)
