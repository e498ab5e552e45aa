import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.boxsearch import BoxSearch, rank_events, search_boxes

TIME = np.linspace(0.0, 0.3, 150)


@pytest.fixture
def rng():
    return np.random.default_rng(9)


def dip(mid, duration, depth):
    return 1.0 - depth * (np.abs(TIME - mid) <= duration / 2)


def test_an_injected_box_is_recovered(rng):
    flux = dip(0.14, 0.1, 0.02) + 0.3 * (TIME - 0.15) + 0.004 * rng.normal(size=150)
    event = search_boxes(TIME, flux[None, :])
    assert abs(event.depth[0] - 0.02) < 3 * event.depth_error[0]
    assert event.mid_time[0] == pytest.approx(0.14, abs=0.005)
    assert event.duration[0] == pytest.approx(0.1, rel=0.25)
    # 50 of 150 points inside, against those outside: σ·sqrt(1/50 + 1/100), before red noise.
    assert event.depth_error[0] == pytest.approx(0.004 * np.sqrt(0.03), rel=0.4)
    assert event.n_inside[0] == pytest.approx(50, abs=8)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.floats(-1.0, 1.0), st.floats(0.1, 10.0))
def test_a_linear_trend_and_an_offset_change_nothing(seed, slope, offset):
    flux = dip(0.15, 0.06, 0.03) + 0.005 * np.random.default_rng(seed).normal(size=150)
    plain = search_boxes(TIME, flux[None, :])
    tilted = search_boxes(TIME, (flux + offset + slope * TIME)[None, :])
    assert tilted.depth == pytest.approx(plain.depth, rel=1e-6)
    assert tilted.mid_time == pytest.approx(plain.mid_time)


def test_the_star_with_the_event_leads_and_variables_do_not(rng):
    flux = 1 + 0.005 * rng.normal(size=(40, 150))
    flux[17] += dip(0.13, 0.09, 0.02) - 1
    flux[3] += np.cumsum(0.004 * rng.normal(size=150))  # a random walk: red noise
    flux[4] = 2 - dip(0.13, 0.09, 0.03)  # a brightening
    events = rank_events(TIME, flux, np.ones(150, bool), n_event=5)
    assert events[0].source == 17
    assert len(events) == 5
    assert [e.snr for e in events] == sorted((e.snr for e in events), reverse=True)


def test_red_noise_costs_significance(rng):
    white = dip(0.15, 0.08, 0.02) + 0.004 * rng.normal(size=150)
    red = white + 0.004 * np.sin(2 * np.pi * TIME / 0.1)
    events = search_boxes(TIME, np.vstack([white, red]))
    assert events.red_noise_factor[1] > 1.4 * events.red_noise_factor[0]
    assert events.snr[1] < 0.7 * events.snr[0]


def test_missing_and_excluded_points_do_no_harm(rng):
    flux = np.tile(dip(0.15, 0.08, 0.02), (2, 1)) + 0.003 * rng.normal(size=(2, 150))
    usable, good = np.ones((2, 150), dtype=bool), np.ones(150, dtype=bool)
    flux[0, 65:80] = np.nan
    flux[1, 20:25], usable[1, 20:25] = -50.0, False
    flux[:, 145:], good[145:] = 77.0, False
    events = {e.source: e for e in rank_events(TIME, flux, good, usable=usable)}
    for source in (0, 1):
        assert events[source].depth == pytest.approx(0.02, abs=0.003)
        assert events[source].mid_time == pytest.approx(0.15, abs=0.01)


def test_blocks_of_sources_change_nothing(rng):
    flux = 1 + 0.01 * rng.normal(size=(300, 60))
    together = search_boxes(TIME[:60], flux)
    alone = search_boxes(TIME[:60], flux[280:281])
    assert together.depth[280] == pytest.approx(alone.depth[0])
    assert together.depth.shape == (300,)


@pytest.mark.parametrize("n_frame", [0, 3, 12])
def test_a_short_night_has_no_event(n_frame):
    events = search_boxes(TIME[:n_frame], np.ones((2, n_frame)))
    assert np.isnan(events.snr).all()
    assert events.ranking().size == 0


def test_a_dip_without_both_edges_is_not_sought(rng):
    flux = 1 + 1e-4 * rng.normal(size=150)
    flux[TIME > 0.25] -= 0.05
    event = search_boxes(TIME, flux[None, :], BoxSearch(min_points_each_side=10))
    assert event.mid_time[0] + event.duration[0] / 2 < 0.29


def test_a_star_without_points_has_no_event(rng):
    flux = np.vstack([np.full(150, np.nan), dip(0.1, 0.05, 0.1) + 0.01 * rng.normal(size=150)])
    assert search_boxes(TIME, flux).ranking().tolist() == [1]


def test_times_must_ascend():
    with pytest.raises(UnusableDataError, match="ascend"):
        search_boxes(np.array([0.0, 2.0, 1.0]), np.ones((1, 3)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_duration_days": 0.0},
        {"min_duration_days": 0.2, "max_duration_days": 0.1},
        {"n_duration": 0},
        {"step_fraction": 0.0},
    ],
)
def test_impossible_searches_are_refused(wrong):
    with pytest.raises(ValueError, match="positive"):
        BoxSearch(**wrong)
