import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.bins import Groups, group_sources
from tianyu.pipelines.science.groups import (
    choose_references,
    group_snr,
    prune_group,
    relative_to_references,
)


def _one_group(n):
    zero = np.zeros(1, dtype=np.int64)
    return Groups(np.zeros(n, dtype=np.int64), 1, zero, zero, np.zeros(1))


def _stars(seed, n_star=8, n_frame=200, noise=0.01):
    """Stars of similar brightness behind one common transparency, white noise each."""
    rng = np.random.default_rng(seed)
    mean = rng.uniform(900.0, 1100.0, (n_star, 1))
    return mean * rng.uniform(0.5, 1.0, n_frame) * (1 + noise * rng.normal(size=(n_star, n_frame)))


def test_relative_fluxes_by_hand():
    # References 2, 3, 5: the target has 3·4/10; each reference 2·F over the other two.
    flux = np.array([[2.0], [3.0], [5.0], [4.0]])
    reference = np.array([True, True, True, False])
    expected = [2 * 2 / 8, 2 * 3 / 7, 2 * 5 / 5, 3 * 4 / 10]
    assert relative_to_references(flux, reference)[:, 0] == pytest.approx(expected)


def test_group_snr_by_hand():
    # Two references, both 1 on average: F̂ is 1/2, 2 and 2, 1/2; a target 3 times their mean.
    flux = np.array([[1.0, 2.0], [2.0, 1.0], [4.5, 4.5 * 1.1]])
    relative = np.array([[0.5, 2.0], [2.0, 0.5], [3.0, 3.3]])
    mean, variance = relative.mean(axis=1), relative.var(axis=1)
    expected = (mean / variance).sum() / np.sqrt((1 / variance).sum())
    assert group_snr(flux, np.array([True, True, False])) == pytest.approx(expected)


@pytest.mark.parametrize("reference", [[False] * 3, [True, False, False]])
def test_fewer_than_two_references_have_no_snr(reference):
    assert group_snr(np.ones((3, 5)), np.array(reference)) == -np.inf


def test_noiseless_stars_do_not_divide_by_zero():
    assert np.isfinite(group_snr(np.full((4, 5), 3.0), np.ones(4, dtype=bool)))


@pytest.mark.parametrize("seed", range(10))
def test_a_variable_is_pruned_and_most_of_the_others_stay(seed):
    flux = _stars(seed)
    flux[3] *= 1 + 0.2 * np.sin(np.arange(200) / 15)
    kept, _ = prune_group(flux, np.ones(8, dtype=bool))
    assert not kept[3]
    assert kept.sum() >= 5


@settings(max_examples=25)
@given(st.integers(0, 10_000))
def test_a_star_stays_only_if_the_snr_falls_when_it_leaves(seed):
    flux = _stars(seed) * np.random.default_rng(seed).normal(1, 0.01, (8, 200))
    kept, snr = prune_group(flux, np.ones(8, dtype=bool), min_kept=2)
    assert snr == pytest.approx(group_snr(flux, kept))
    if kept.sum() > 2:
        for k in np.flatnonzero(kept):
            fewer = kept.copy()
            fewer[k] = False
            assert group_snr(flux, fewer) < snr


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_the_order_of_the_sources_does_not_matter(seed, random):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 100, (2, 40))
    flux = _stars(seed, 40, 30) * 10 ** rng.uniform(0, 2, (40, 1))
    candidate, good = rng.random(40) < 0.8, np.ones(30, dtype=bool)
    identity = np.arange(40)
    order = np.array(random.sample(range(40), 40))
    straight, shuffled = (
        choose_references(
            flux[p],
            good,
            candidate[p],
            group_sources(x[p], y[p], flux[p].mean(axis=1), candidate[p]),
            source_id=identity[p],
        )
        for p in (identity, order)
    )
    np.testing.assert_array_equal(shuffled.serves, straight.serves[:, order])
    np.testing.assert_array_equal(shuffled.snr, straight.snr)


def test_of_exact_twins_the_later_id_leaves():
    # Two pairs of twins: whichever of a pair leaves, the SNR is the same.
    flux = _stars(1, 6)[[0, 1, 2, 3, 4, 4]]
    flux[4:] *= 1 + 0.3 * np.sin(np.arange(200) / 9)
    identity = np.array([0, 1, 2, 3, 9, 8])
    chosen = choose_references(
        flux, np.ones(200, bool), np.ones(6, bool), _one_group(6), source_id=identity, min_kept=5
    )
    assert chosen.is_reference.tolist() == [True] * 4 + [False, True]


def test_the_nan_of_one_star_does_not_spread():
    flux = _stars(2, 10)
    candidate = np.arange(10) < 8
    clean = choose_references(flux[:9], np.ones(200, bool), candidate[:9], _one_group(9))
    flux[9] = np.nan
    dirty = choose_references(flux, np.ones(200, bool), candidate, _one_group(10))
    np.testing.assert_array_equal(dirty.is_reference[:9], clean.is_reference)
    assert dirty.snr == pytest.approx(clean.snr)


def test_rejected_frames_do_not_count():
    flux, good = _stars(3), np.ones(200, dtype=bool)
    before = choose_references(flux, good, np.ones(8, bool), _one_group(8))
    good = np.append(good, False)
    flux = np.column_stack([flux, np.full(8, np.nan)])
    after = choose_references(flux, good, np.ones(8, bool), _one_group(8))
    np.testing.assert_array_equal(after.serves, before.serves)


def _row_of_groups():
    """Three rectangles side by side with 1, 0 and 4 stars that may serve."""
    index = np.array([0, 1, 2, 2, 2, 2])
    column = np.array([0, 1, 2])
    groups = Groups(index, 3, column, np.zeros(3, dtype=np.int64), np.array([3.0, np.nan, 3.0]))
    return groups, index != 1


def test_a_group_with_too_few_borrows_from_the_nearest_and_says_so():
    groups, candidate = _row_of_groups()
    chosen = choose_references(_stars(4, 6), np.ones(200, bool), candidate, groups, min_kept=3)
    assert chosen.has_borrowed.tolist() == [True, True, False]
    own = chosen.serves[2]
    # Columns 0 and 2 are as near to column 1: the lower lends first, and one star is too few.
    np.testing.assert_array_equal(chosen.serves[1], own | (np.arange(6) == 0))
    np.testing.assert_array_equal(chosen.serves[0], own | (np.arange(6) == 0))
    assert np.isnan(chosen.snr[:2]).all()


def test_a_field_with_one_candidate_gives_what_there_is():
    groups, _ = _row_of_groups()
    only = np.arange(6) == 0
    chosen = choose_references(_stars(5, 6), np.ones(200, bool), only, groups)
    assert chosen.has_borrowed.all()
    assert chosen.serves.sum(axis=1).tolist() == [1, 1, 1]


def test_a_field_without_candidates_is_refused():
    groups, _ = _row_of_groups()
    with pytest.raises(UnusableDataError, match="none of 6 sources"):
        choose_references(_stars(6, 6), np.ones(200, bool), np.zeros(6, bool), groups)


def test_fewer_than_two_references_cannot_be_asked_for():
    with pytest.raises(ValueError, match="min_kept is 1"):
        choose_references(
            np.ones((3, 3)), np.ones(3, bool), np.ones(3, bool), _one_group(3), min_kept=1
        )
