"""Nights on one scale: what is common to all stars goes, what a star does by itself stays."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.science.joining import NightLevels, join_nights

N_STAR, N_APERTURE = 12, 3
LEVEL = np.geomspace(1e5, 1e3, N_STAR)[:, None] * np.array([0.7, 0.85, 0.95])
REFERENCE = np.arange(N_STAR) < 8


def night(level=LEVEL, ids=None, is_reference=REFERENCE):
    ids = np.arange(len(level)) if ids is None else np.asarray(ids)
    return NightLevels(ids, np.asarray(level, dtype=float), np.asarray(is_reference))


def test_the_first_night_is_the_measure():
    (scale,) = join_nights([night()])
    assert (scale == 1.0).all()


@given(
    factor=st.lists(st.floats(0.05, 20.0), min_size=N_APERTURE, max_size=N_APERTURE),
    change=st.floats(0.2, 5.0),
)
def test_light_that_all_stars_lose_cancels_and_one_stars_own_change_is_its_scale(factor, change):
    level = LEVEL * factor
    level[-1] *= change
    first, second = join_nights([night(), night(level)])
    assert (first == 1.0).all()
    np.testing.assert_allclose(second[:-1], 1.0, rtol=1e-12)
    np.testing.assert_allclose(second[-1], change, rtol=1e-12)


def test_noise_of_the_references_is_averaged():
    rng = np.random.default_rng(3)
    errors = []
    for _ in range(200):
        level = LEVEL * 0.4 * np.exp(rng.normal(0.0, 0.01, LEVEL.shape))
        level[-1] = 0.4 * LEVEL[-1]
        _, second = join_nights([night(), night(level)])
        errors.append(second[-1] - 1.0)
    # Eight references of 1 %: the error of their median is 1.25 % / sqrt(8).
    assert np.std(errors) < 0.0055
    assert abs(np.mean(errors)) < 0.0015


def test_a_variable_among_the_references_does_not_move_the_others():
    level = 0.5 * LEVEL
    level[2] *= 1.6
    _, second = join_nights([night(), night(level)])
    np.testing.assert_allclose(np.delete(second, 2, axis=0), 1.0, rtol=1e-12)
    np.testing.assert_allclose(second[2], 1.6, rtol=1e-12)


def test_a_star_first_seen_on_a_later_night_is_joined_from_there_on():
    """Night 2 loses half the light, night 3 a fifth; star 99 is seen on both and fades by 10 %."""
    seen = [*range(N_STAR), 99]
    new = np.vstack([LEVEL, [[500.0, 600.0, 700.0]]])
    is_reference = [*REFERENCE, False]
    third = 0.8 * new
    third[-1] *= 0.9
    scales = join_nights(
        [night(), night(0.5 * new, seen, is_reference), night(third, seen, is_reference)]
    )
    np.testing.assert_allclose(scales[1], 1.0, rtol=1e-12)
    np.testing.assert_allclose(scales[2][-1], 0.9, rtol=1e-12)
    np.testing.assert_allclose(scales[2][:-1], 1.0, rtol=1e-12)


def test_a_night_that_shares_too_few_stars_stands_for_itself():
    ids = [0, 1, *range(100, 110)]
    joined, alone, third = join_nights([night(), night(3.0 * LEVEL, ids), night(2.0 * LEVEL)])
    assert (joined == 1.0).all()
    assert alone is None
    np.testing.assert_allclose(third, 1.0, rtol=1e-12)


def test_a_source_without_a_level_keeps_its_own_scale():
    level = 0.5 * LEVEL
    level[5] = np.nan
    _, second = join_nights([night(), night(level)])
    assert (second[5] == 1.0).all()
    np.testing.assert_allclose(second, 1.0, rtol=1e-12)


def test_nights_with_other_numbers_of_apertures_are_joined():
    _, second = join_nights([night(), night(0.5 * LEVEL[:, :2])])
    np.testing.assert_allclose(second, 1.0, rtol=1e-12)
