"""One-to-one matching of positions, and distances to neighbours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tianyu.pipelines.science.matching import UNMATCHED, match_positions, nearest_neighbours

positions = arrays(
    np.float64,
    st.tuples(st.integers(0, 12), st.just(2)),
    elements=st.floats(-50.0, 50.0, allow_nan=False, width=32),
)


def test_the_nearer_of_two_candidates_wins_and_the_other_is_new():
    known = np.array([[10.0, 10.0]])
    new = np.array([[10.8, 10.0], [10.3, 10.0]])
    assert match_positions(known, new, 1.0).tolist() == [UNMATCHED, 0]


@pytest.mark.parametrize(("radius", "expected"), [(4.999, UNMATCHED), (5.0, 0), (5.001, 0)])
def test_the_radius_is_inclusive(radius, expected):
    assert match_positions(np.zeros((1, 2)), np.array([[3.0, 4.0]]), radius).tolist() == [expected]


@pytest.mark.parametrize(
    ("known", "new"), [(np.empty((0, 2)), np.ones((2, 2))), (np.ones((2, 2)), np.empty((0, 2)))]
)
def test_nothing_matches_an_empty_list(known, new):
    assert match_positions(known, new, 9.0).tolist() == [UNMATCHED] * len(new)


def test_a_position_that_is_not_finite_matches_nothing_and_keeps_its_place():
    known = np.array([[np.nan, 0.0], [5.0, 5.0]])
    new = np.array([[5.0, 5.1], [np.inf, 1.0]])
    assert match_positions(known, new, 1.0).tolist() == [1, UNMATCHED]


@given(positions, positions, st.floats(0.0, 30.0))
def test_a_match_is_one_to_one_and_within_the_radius(known, new, radius):
    index = match_positions(known, new, radius)
    found = index[index != UNMATCHED]
    assert len(index) == len(new)
    assert len(set(found.tolist())) == len(found)
    step = new[index != UNMATCHED] - known[found]
    assert (np.hypot(*step.T) <= radius * (1 + 1e-12)).all()


@given(st.permutations(range(8)))
def test_the_order_of_new_positions_does_not_matter(order):
    rng = np.random.default_rng(5)
    known, new = rng.uniform(0, 10, (9, 2)), rng.uniform(0, 10, (8, 2))
    assert match_positions(known, new[order], 2.0).tolist() == (
        match_positions(known, new, 2.0)[order].tolist()
    )


def test_scattered_sources_are_recovered_through_noise_and_newcomers():
    rng = np.random.default_rng(1)
    known = rng.uniform(0, 1000, (300, 2))
    order = rng.permutation(300)
    new = np.vstack([known[order] + rng.normal(0, 0.1, (300, 2)), rng.uniform(2000, 3000, (20, 2))])
    index = match_positions(known, new, 1.0)
    assert index[:300].tolist() == order.tolist()
    assert (index[300:] == UNMATCHED).all()


@pytest.mark.parametrize("radius", [-1.0, np.nan])
def test_a_radius_that_is_none_is_refused(radius):
    with pytest.raises(ValueError, match="radius"):
        match_positions(np.ones((1, 2)), np.ones((1, 2)), radius)


def test_columns_in_place_of_rows_are_refused():
    with pytest.raises(ValueError, match="one \\(x, y\\) per row"):
        match_positions(np.ones((2, 5)), np.ones((1, 2)), 1.0)


def test_distances_rise_and_are_infinite_beyond_the_last_neighbour():
    xy = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    root5 = np.sqrt(5.0)
    expected = [[1.0, 2.0, np.inf], [1.0, root5, np.inf], [2.0, root5, np.inf]]
    np.testing.assert_allclose(nearest_neighbours(xy, 3), expected)


def test_a_lone_source_is_infinitely_isolated_and_an_unknown_one_is_nan():
    assert nearest_neighbours(np.array([[4.0, 4.0]]), 1).tolist() == [[np.inf]]
    assert np.isnan(nearest_neighbours(np.array([[np.nan, 4.0], [1.0, 1.0]]), 1)[0, 0])
    assert nearest_neighbours(np.empty((0, 2)), 2).shape == (0, 2)


def test_two_sources_at_one_place_are_at_distance_zero():
    assert nearest_neighbours(np.ones((2, 2)), 1).tolist() == [[0.0], [0.0]]


def test_no_neighbours_asked_for_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        nearest_neighbours(np.ones((2, 2)), 0)
