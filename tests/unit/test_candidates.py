import numpy as np
import pytest

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.candidates import (
    ENSEMBLE_RULES,
    CandidateRules,
    isolated_sources,
    mean_at_unit_transparency,
    nearest_distance,
    select_candidates,
    usable_epochs,
)
from tianyu.pipelines.science.flags import FluxFlag

ANYWHERE = CandidateRules(isolation_quantile=0.0)
N_FRAME = 40


class Night:
    """Four equal stars at the corners of a square, 40 clear frames, nothing wrong."""

    def __init__(self):
        self.x = np.array([0.0, 0.0, 100.0, 100.0])
        self.y = np.array([0.0, 100.0, 0.0, 100.0])
        self.transparency = np.linspace(1.0, 0.5, N_FRAME)
        self.flux = np.array([[100.0], [200.0], [300.0], [400.0]]) * self.transparency
        self.flags = np.zeros((4, N_FRAME), dtype=np.uint16)
        self.good = np.ones(N_FRAME, dtype=bool)

    def select(self, rules=ANYWHERE, **options):
        return select_candidates(
            self.flux,
            self.flags,
            self.good,
            self.transparency,
            self.x,
            self.y,
            rules=rules,
            **options,
        )


@pytest.fixture
def night():
    return Night()


def test_unflagged_stars_are_candidates(night):
    assert night.select().is_candidate.all()
    assert night.select().mean_flux == pytest.approx([100.0, 200.0, 300.0, 400.0])


@pytest.mark.parametrize(("n_missing", "accepted"), [(0, True), (2, True), (3, False)])
def test_up_to_five_per_cent_may_be_missing(night, n_missing, accepted):
    night.flux[0, :n_missing] = np.nan
    assert night.select().is_candidate[0] == accepted


@pytest.mark.parametrize("flag", [FluxFlag.NEAR_EDGE, FluxFlag.MASKED_PIXEL])
def test_a_flagged_epoch_counts_as_missing(night, flag):
    night.flags[0, :3] = flag
    assert not night.select().is_candidate[0]


@pytest.mark.parametrize("flag", [FluxFlag.FRAME_REJECTED, FluxFlag.FEW_REFERENCES])
def test_flags_that_say_nothing_about_the_star_do_no_harm(night, flag):
    night.flags[:] = flag
    assert night.select().is_candidate.all()


def test_one_saturated_epoch_bars_a_star(night):
    night.flags[1, 5] = FluxFlag.SATURATED
    assert night.select().is_candidate.tolist() == [True, False, True, True]


def test_what_happens_in_rejected_frames_does_not_count(night):
    night.good[:10] = False
    night.flags[1, :10] = FluxFlag.SATURATED
    night.flux[2, :10] = np.nan
    assert night.select().is_candidate.all()
    assert np.isnan(night.select().flux[2, :10]).all()


def test_a_missing_epoch_is_filled_with_mean_times_transparency_and_flagged(night):
    night.flux[0, 7] = np.nan
    chosen = night.select()
    assert chosen.flux[0, 7] == pytest.approx(100.0 * night.transparency[7])
    assert chosen.flags[0, 7] == FluxFlag.FILLED
    assert np.count_nonzero(chosen.flags) == 1


def test_a_flagged_value_is_replaced_and_keeps_its_flag(night):
    night.flux[0, 7], night.flags[0, 7] = 1e9, FluxFlag.MASKED_PIXEL
    chosen = night.select()
    assert chosen.flux[0, 7] == pytest.approx(100.0 * night.transparency[7])
    assert chosen.flags[0, 7] == FluxFlag.FILLED | FluxFlag.MASKED_PIXEL


def test_the_callers_cube_is_not_changed(night):
    night.flux[0, 7] = np.nan
    flux, flags = night.flux.copy(), night.flags.copy()
    night.select()
    np.testing.assert_array_equal(night.flux, flux)
    np.testing.assert_array_equal(night.flags, flags)


def test_known_variables_are_no_candidates(night):
    chosen = night.select(is_variable=np.array([False, True, False, False]))
    assert chosen.is_candidate.tolist() == [True, False, True, True]


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_the_mean_flux_must_be_positive(night, value):
    night.flux[3] = value
    assert not night.select().is_candidate[3]


def test_blended_stars_serve_only_methods_that_weigh(night):
    night.flags[2] = FluxFlag.BLENDED
    assert not night.select().is_candidate[2]
    assert night.select(rules=ENSEMBLE_RULES).is_candidate[2]


def test_the_half_with_the_nearer_neighbours_is_not_isolated():
    x = np.array([0.0, 1.0, 10.0, 13.0, 100.0, 150.0])
    y = np.zeros(6)
    assert nearest_distance(x, y).tolist() == [1.0, 1.0, 3.0, 3.0, 50.0, 50.0]
    assert isolated_sources(x, y).tolist() == [False, False, True, True, True, True]


def test_a_lone_source_is_isolated():
    assert isolated_sources(np.zeros(1), np.zeros(1)).tolist() == [True]


def test_the_second_gaia_neighbour_must_be_far_compared_with_the_first():
    # d2 − d1 ≥ 1.5 d1: 2.5 just passes beside 1, 2.4 does not; unknown neighbours pass.
    first = np.array([1.0, 1.0, np.nan, 1.0])
    second = np.array([2.5, 2.4, 5.0, np.inf])
    alone = isolated_sources(np.zeros(4), np.arange(4.0), first, second, ANYWHERE)
    assert alone.tolist() == [True, False, True, True]


def test_the_mean_does_not_depend_on_which_epochs_are_missing():
    transparency = np.array([1.0, 0.5, 0.25])
    flux = 80.0 * transparency[None, :]
    for missing in range(3):
        usable = np.ones((1, 3), dtype=bool)
        usable[0, missing] = False
        assert mean_at_unit_transparency(flux, usable, transparency) == pytest.approx([80.0])


def test_a_source_without_epochs_has_no_mean():
    none = np.zeros((1, 2), dtype=bool)
    assert np.isnan(mean_at_unit_transparency(np.ones((1, 2)), none, np.ones(2))).all()


def test_usable_means_finite_and_unflagged():
    flux = np.array([[1.0, np.nan, 1.0, 1.0]])
    flags = np.array([[0, 0, FluxFlag.NEAR_EDGE, FluxFlag.BLENDED]], dtype=np.uint16)
    assert usable_epochs(flux, flags).tolist() == [[True, False, False, True]]


def test_a_night_without_good_frames_is_refused(night):
    night.good[:] = False
    with pytest.raises(UnusableDataError, match="0 good frames of 40"):
        night.select()


@pytest.mark.parametrize(
    "wrong",
    [{"max_missing_fraction": 1.0}, {"isolation_quantile": -0.1}, {"gaia_distance_ratio": -1.0}],
)
def test_impossible_rules_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CandidateRules(**wrong)
