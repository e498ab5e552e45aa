import numpy as np
import pytest

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.members import EnsembleRules, choose_ensemble

N_STAR, N_FRAME = 60, 300


class Field:
    """Stars of one brightness, 1 % white noise each, unless a test changes them."""

    def __init__(self, seed=1):
        self.rng = np.random.default_rng(seed)
        self.x, self.y = self.rng.uniform(0, 500, (2, N_STAR))
        self.sigma = np.full(N_STAR, 0.01)
        self.signal = np.ones((N_STAR, N_FRAME))
        self.mean = self.rng.uniform(900, 1100, N_STAR)
        self.noise = self.rng.normal(size=(N_STAR, N_FRAME))

    def choose(self, rules=None, candidate=None):
        flux = self.mean[:, None] * self.signal * (1 + self.sigma[:, None] * self.noise)
        return choose_ensemble(
            flux,
            np.full_like(flux, 1.0),  # an error of 0.1 %: below the truth, no help
            np.zeros(flux.shape, dtype=np.uint16),
            np.ones(N_FRAME, dtype=bool),
            self.x,
            self.y,
            np.ones(N_STAR, dtype=bool) if candidate is None else candidate,
            rules=rules,
        )


def test_the_ensembles_own_noise_is_subtracted():
    # Four stars: against three others of 1 % each a star shows 1 % · sqrt(4/3) = 1.155 %.
    field = Field()
    field.noise = np.random.default_rng(2).normal(size=(N_STAR, N_FRAME))
    few = np.arange(N_STAR) < 4
    ensemble = field.choose(EnsembleRules(max_noise_ratio=10.0, rejection_sigma=50.0), few)
    assert ensemble.sigma[few].mean() == pytest.approx(0.01, rel=0.06)


def test_the_best_star_is_not_thrown_out_although_all_others_are_worse():
    field = Field()
    field.sigma[7] = 0.003
    ensemble = field.choose()
    assert ensemble.weight.argmax() == 7
    assert ensemble.sigma[7] == pytest.approx(0.003, rel=0.3)


def test_variables_leave_and_are_named():
    field = Field()
    for star in (3, 20, 41):
        field.signal[star] += 0.05 * np.sin(np.arange(N_FRAME) / 20.0 + star)
    ensemble = field.choose()
    assert ensemble.is_variable[[3, 20, 41]].all()
    assert (ensemble.weight[[3, 20, 41]] == 0).all()
    assert (ensemble.weight > 0).sum() >= 50


def test_weights_are_inverse_variances():
    field = Field()
    ensemble = field.choose()
    member = ensemble.weight > 0
    np.testing.assert_allclose(ensemble.weight[member], ensemble.sigma[member] ** -2.0)


def test_stars_much_noisier_than_the_best_do_not_join():
    field = Field()
    faint = np.arange(N_STAR) >= 30
    field.sigma[faint], field.mean[faint] = 0.1, 100.0
    ensemble = field.choose()
    assert not (ensemble.weight[faint] > 0).any()
    assert not ensemble.is_variable[faint].any()


@pytest.mark.parametrize(("tilt", "order"), [(0.0, 0), (0.05, 1)])
def test_cross_validation_chooses_the_order_of_the_surface(tilt, order):
    field = Field()
    drift = np.linspace(-1, 1, N_FRAME)
    field.signal += tilt * drift * (field.x[:, None] / 250.0 - 1.0)
    assert field.choose().order == order


def test_the_order_is_bounded_by_the_number_of_members():
    field = Field()
    field.signal += 0.05 * np.linspace(-1, 1, N_FRAME) * (field.x[:, None] / 250.0 - 1.0)
    assert field.choose(candidate=np.arange(N_STAR) < 12).order == 0


def test_only_candidates_join():
    candidate = np.arange(N_STAR) % 2 == 0
    ensemble = Field().choose(candidate=candidate)
    assert not (ensemble.weight[~candidate] > 0).any()
    assert np.isnan(ensemble.sigma[~candidate]).all()


def test_noiseless_stars_give_finite_weights():
    field = Field()
    field.sigma[:] = 0.0
    assert np.isfinite(field.choose().weight).all()


def test_two_candidates_are_too_few():
    with pytest.raises(UnusableDataError, match="only 2 of 60"):
        Field().choose(candidate=np.arange(N_STAR) < 2)


@pytest.mark.parametrize(
    "wrong",
    [{"rejection_sigma": 0.0}, {"max_noise_ratio": 1.0}, {"n_like": 0}, {"max_order": -1}],
)
def test_impossible_rules_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        EnsembleRules(**wrong)
