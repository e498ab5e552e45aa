import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.bins import (
    brightness_edges,
    finest_grid,
    grid_cell,
    group_sources,
    n_brightness_classes,
)


@pytest.mark.parametrize(
    ("n_candidate", "n_class"),
    # max(1, min(⌊N/6⌋, ⌊√N⌋)) by hand: N/6 rules below 36, the root above.
    [
        (0, 1),
        (5, 1),
        (6, 1),
        (11, 1),
        (12, 2),
        (17, 2),
        (18, 3),
        (35, 5),
        (36, 6),
        (37, 6),
        (81, 9),
    ],
)
def test_number_of_brightness_classes(n_candidate, n_class):
    assert n_brightness_classes(n_candidate) == n_class


@given(st.integers(1, 5000))
def test_a_class_never_has_fewer_than_six_candidates_unless_the_bin_has(n_candidate):
    assert n_candidate // n_brightness_classes(n_candidate) >= min(6, n_candidate)


def _lattice(n):
    """n × n stars in the middles of the unit cells of a square."""
    column, row = np.meshgrid(np.arange(n) + 0.5, np.arange(n) + 0.5)
    return column.ravel(), row.ravel()


@pytest.mark.parametrize(
    ("n", "n_side"),
    [(3, 1), (4, 1), (8, 2), (12, 3), (16, 4)],  # 64 stars: 16 in each quarter; 3 × 3 has 4 to 9
)
def test_the_finest_grid_with_twelve_candidates_everywhere(n, n_side):
    x, y = _lattice(n)
    assert finest_grid(x, y, np.ones(x.size, bool)) == n_side


def test_a_corner_without_candidates_forbids_a_finer_grid():
    x, y = _lattice(8)
    assert finest_grid(x, y, (x > 4.0) | (y > 4.0)) == 1


def test_coordinates_at_the_upper_end_belong_to_the_last_cell():
    assert grid_cell(np.array([0.0, 1.0, 2.0, 3.0]), 3).tolist() == [0, 1, 2, 2]
    assert grid_cell(np.array([5.0, 5.0]), 3).tolist() == [0, 0]


def test_edges_cut_into_equal_numbers():
    flux = np.array([7.0, 1.0, 5.0, 3.0, 11.0, 9.0])
    assert brightness_edges(flux, 3).tolist() == [4.0, 8.0]
    assert brightness_edges(flux, 1).tolist() == []


def _field(seed, n):
    rng = np.random.default_rng(seed)
    flux = 10 ** rng.uniform(2, 5, n)
    return rng.uniform(0, 500, n), rng.uniform(0, 400, n), flux, rng.random(n) < 0.7


@given(st.integers(0, 10_000), st.integers(1, 300))
def test_every_source_is_in_exactly_one_group_of_its_place(seed, n):
    x, y, flux, candidate = _field(seed, n)
    groups = group_sources(x, y, flux, candidate)
    assert groups.index.shape == (n,)
    assert groups.index.min() >= 0
    assert groups.index.max() < groups.n_group
    np.testing.assert_array_equal(groups.column[groups.index], grid_cell(x, groups.n_side))
    np.testing.assert_array_equal(groups.row[groups.index], grid_cell(y, groups.n_side))


@given(st.integers(0, 10_000), st.integers(12, 300))
def test_groups_have_at_least_six_candidates_when_the_field_has_twelve(seed, n):
    x, y, flux, candidate = _field(seed, n)
    groups = group_sources(x, y, flux, candidate)
    counts = np.bincount(groups.index[candidate], minlength=groups.n_group)
    if candidate.sum() >= 12:
        assert counts.min() >= 6


@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_the_order_of_the_sources_does_not_matter(seed, random):
    field = _field(seed, 150)
    order = list(range(150))
    random.shuffle(order)
    straight = group_sources(*field)
    shuffled = group_sources(*(column[order] for column in field))
    np.testing.assert_array_equal(shuffled.index, straight.index[order])


def test_targets_are_binned_by_the_limits_of_the_candidates():
    x, y = np.zeros(15), np.zeros(15)
    flux = np.array([*range(1, 13), 0.1, 6.6, 99.0], dtype=np.float64)
    candidate = np.arange(15) < 12
    groups = group_sources(x, y, flux, candidate)
    assert groups.n_group == 2  # twelve candidates: 1 … 6 and 7 … 12, cut at 6.5
    assert groups.index.tolist() == [0] * 6 + [1] * 6 + [0, 1, 1]
    assert groups.brightness == pytest.approx([np.log10(3.5), np.log10(9.5)])


def test_a_source_without_flux_joins_the_faintest():
    flux = np.array([*range(1, 13), np.nan], dtype=np.float64)
    groups = group_sources(np.zeros(13), np.zeros(13), flux, np.arange(13) < 12)
    assert groups.index[12] == 0


def test_a_field_without_candidates_is_one_group_of_unknown_brightness():
    groups = group_sources(np.arange(3.0), np.arange(3.0), np.ones(3), np.zeros(3, bool))
    assert groups.n_group == 1
    assert np.isnan(groups.brightness).all()


def test_no_sources_are_refused():
    nothing = np.zeros(0)
    with pytest.raises(UnusableDataError, match="no sources"):
        group_sources(nothing, nothing, nothing, nothing.astype(bool))
