import numpy as np
import pytest

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.radius import choose_radius

N_SOURCE, N_FRAME = 120, 100
TIME = np.linspace(0.0, 0.3, N_FRAME)
GOOD = np.ones(N_FRAME, dtype=bool)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def night(rng):
    """The upper half in brightness is quietest in radius 2, the lower half in radius 0."""
    mean = np.logspace(5, 2, N_SOURCE)
    bright = np.arange(N_SOURCE) < N_SOURCE // 2
    sigma = np.where(bright, [[0.03], [0.02], [0.01]], [[0.01], [0.02], [0.03]])
    cube = 1 + sigma[:, :, None] * rng.normal(size=(3, N_SOURCE, N_FRAME))
    return cube, mean


def test_like_stars_decide_and_the_choice_changes_once(night):
    cube, mean = night
    choice = choose_radius(TIME, cube, mean, GOOD)
    assert set(choice[:50]) == {2}
    assert set(choice[70:]) == {0}
    assert (np.diff(choice) <= 0).all()


def test_a_stars_own_scatter_has_no_say(night):
    cube, mean = night
    before = choose_radius(TIME, cube, mean, GOOD)
    for radius in range(3):
        odd = cube.copy()
        odd[:, 30] = np.linspace(0.5, 1.5, N_FRAME)
        odd[radius, 30] = 1.0 + 1e-9 * np.sin(np.arange(N_FRAME))
        assert choose_radius(TIME, odd, mean, GOOD)[30] == before[30]


def test_slow_trends_and_rejected_frames_do_not_count(night, rng):
    cube, mean = night
    before = choose_radius(TIME, cube, mean, GOOD)
    cube = cube + np.array([0.0, 0.0, 1.0])[:, None, None] * TIME
    good = np.arange(N_FRAME) < 90
    cube[:, :, 90:] = rng.normal(size=(3, N_SOURCE, 10))
    np.testing.assert_array_equal(choose_radius(TIME, cube, mean, good)[:50], before[:50])


def test_stars_without_a_vote_are_chosen_for(night):
    cube, mean = night
    may_vote = np.arange(N_SOURCE) % 2 == 0
    cube[:, ~may_vote] = np.nan
    choice = choose_radius(TIME, cube, mean, GOOD, may_vote=may_vote)
    assert set(choice[:50]) == {2}


def test_a_source_without_flux_goes_with_the_faintest(night):
    cube, mean = night
    mean[4] = np.nan
    assert choose_radius(TIME, cube, mean, GOOD)[4] == 0


def test_the_order_of_the_sources_does_not_matter(night, rng):
    cube, mean = night
    order = rng.permutation(N_SOURCE)
    np.testing.assert_array_equal(
        choose_radius(TIME, cube[:, order], mean[order], GOOD),
        choose_radius(TIME, cube, mean, GOOD)[order],
    )


@pytest.mark.parametrize("n_source", [1, 2, 5])
def test_few_sources_suffice(night, n_source):
    cube, mean = night
    assert (choose_radius(TIME, cube[:, :n_source], mean[:n_source], GOOD) == 2).all()


def test_no_light_curve_at_all_is_refused():
    with pytest.raises(UnusableDataError, match="none of 4 sources"):
        choose_radius(TIME, np.full((2, 4, N_FRAME), np.nan), np.ones(4), GOOD)
