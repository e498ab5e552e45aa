"""What finding a shift promises: the joint mode, whatever is lost, and a fair warning."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tianyu.pipelines.science.shift import MAX_CHANCE, find_shift

FIELD = (1000.0, 800.0)


def scatter(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    return rng.uniform((0.0, 0.0), FIELD, (n, 2))


def lists_with_losses(
    rng: np.random.Generator, n: int, shift: tuple[float, float], kept: float = 0.5
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A field seen twice: each list keeps a share of its stars, in another order."""
    sky = rng.uniform((-400.0, -400.0), (FIELD[0] + 400.0, FIELD[1] + 400.0), (8 * n, 2))
    views = []
    for move in ((0.0, 0.0), shift):
        seen = sky + move
        inside = np.all((seen >= 0.0) & (seen <= FIELD), axis=1)
        candidates = np.flatnonzero(inside & (np.arange(len(sky)) < 4 * n))[:n]
        chosen = rng.permutation(candidates)[: round(kept * len(candidates))]
        views.append(seen[chosen] + rng.normal(0.0, 0.1, (len(chosen), 2)))
    return views[0], views[1]


@given(
    dx=st.floats(-300.0, 300.0),
    dy=st.floats(-300.0, 300.0),
    seed=st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_any_shift_of_the_same_stars_is_found_exactly(dx: float, dy: float, seed: int) -> None:
    reference = scatter(np.random.default_rng(seed), 60)
    shift = find_shift(reference, reference + np.array([dx, dy]))
    assert (shift.dx, shift.dy) == pytest.approx((dx, dy), abs=1e-9)
    assert shift.votes >= 60
    assert shift.is_significant


@pytest.mark.parametrize("dx", np.arange(-8.0, 8.01, 0.5).tolist())
def test_no_shift_is_special_to_the_bins(dx: float) -> None:
    # An earlier code truncated its bins: every shift came out one pixel short.
    rng = np.random.default_rng(5)
    reference = scatter(rng, 50)
    frame = reference + np.array([dx, -dx]) + rng.normal(0.0, 0.2, reference.shape)
    shift = find_shift(reference, frame)
    assert (shift.dx, shift.dy) == pytest.approx((dx, -dx), abs=0.1)
    assert shift.votes >= 50


def test_half_the_stars_lost_in_each_list_over_a_drift_of_300_pixels() -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(100):
        truth = tuple(rng.uniform(-300.0, 300.0, 2))
        shift = find_shift(*lists_with_losses(rng, 200, truth))
        wrong += math.hypot(shift.dx - truth[0], shift.dy - truth[1]) > 0.3
        assert shift.is_significant
    assert wrong == 0


def test_axes_are_taken_jointly() -> None:
    # Two rows of pairs: Δx = 50 and Δy = 70 are each the commonest alone, in different pairs;
    # (20, 30) is the commonest together.
    rng = np.random.default_rng(3)
    reference = rng.uniform(0.0, 3000.0, (60, 2))
    moves = np.empty((60, 2))
    moves[:20] = [20.0, 30.0]
    moves[20:40, 0], moves[20:40, 1] = 50.0, rng.uniform(-500.0, 500.0, 20)
    moves[40:, 0], moves[40:, 1] = rng.uniform(-500.0, 500.0, 20), 70.0
    shift = find_shift(reference, reference + moves)
    assert (shift.dx, shift.dy) == pytest.approx((20.0, 30.0), abs=1e-6)


def test_chance_peaks_are_not_significant() -> None:
    rng = np.random.default_rng(2)
    for n in (5, 20, 100):
        for _ in range(60):
            assert not find_shift(scatter(rng, n), scatter(rng, n)).is_significant


def test_chance_is_worked_out_for_a_field_filled_evenly() -> None:
    # 100 × 100 pairs; at no shift, 10⁴·8·8/(1000·800) = 0.8 of them fall into 2 × 2 bins of 4 px.
    rng = np.random.default_rng(4)
    reference = scatter(rng, 100)
    shift = find_shift(reference, reference)
    assert shift.expected == pytest.approx(0.8, rel=0.1)
    assert shift.log10_chance < math.log10(MAX_CHANCE)


def test_largest_shift_is_respected() -> None:
    reference = scatter(np.random.default_rng(6), 60)
    shift = find_shift(reference, reference + np.array([90.0, 0.0]), max_shift_pix=50.0)
    assert abs(shift.dx) <= 50.0
    assert not shift.is_significant
    assert shift.n_pairs < 60 * 60


@pytest.mark.parametrize(("n", "m"), [(0, 5), (5, 0), (0, 0)])
def test_without_pairs_there_is_no_shift(n: int, m: int) -> None:
    shift = find_shift(np.zeros((n, 2)), np.zeros((m, 2)))
    assert math.isnan(shift.dx)
    assert (shift.votes, shift.n_pairs, shift.is_significant) == (0, 0, False)


def test_single_pair_is_a_shift_that_proves_nothing() -> None:
    shift = find_shift(np.array([[10.0, 20.0]]), np.array([[13.0, 18.5]]))
    assert (shift.dx, shift.dy, shift.votes) == (3.0, -1.5, 1)
    assert not shift.is_significant


def test_order_of_stars_does_not_matter() -> None:
    rng = np.random.default_rng(8)
    reference, frame = lists_with_losses(rng, 80, (33.3, -12.2))
    one = find_shift(reference, frame)
    other = find_shift(rng.permutation(reference), rng.permutation(frame))
    assert (one.dx, one.dy) == pytest.approx((other.dx, other.dy), abs=1e-9)
    assert one.votes == other.votes


def test_positions_that_are_no_pairs_of_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(n, 2\), got \(2, 7\)"):
        find_shift(np.zeros((7, 2)), np.zeros((2, 7)))
    with pytest.raises(ValueError, match="bin_pix must be positive"):
        find_shift(np.zeros((7, 2)), np.zeros((7, 2)), bin_pix=0.0)
