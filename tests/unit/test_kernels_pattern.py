"""Compiled kernels of the fixed pattern against their plain references."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tianyu.pipelines.science.fixedpattern import PatternFrames, PatternMethod
from tianyu.pipelines.science.footprints import Footprints
from tianyu.pipelines.science.kernels.pattern import PIXELS, correct, keep
from tianyu.pipelines.science.kernels.sorting import sort_columns

KERNELS = PatternMethod(keep, correct)
VALUES = st.one_of(
    st.floats(-40, 40, width=32), st.sampled_from([np.nan, np.inf, -np.inf, 2047.9, -3e4, 0.03125])
)
PLACES = st.one_of(st.floats(-9, 30), st.sampled_from([np.nan, np.inf, -1e30, 4.0]))


@settings(max_examples=40, deadline=None)
@given(
    st.data(), st.integers(0, 19), hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)
)
def test_patterns_agree_to_the_last_digit(data, n_frames, shape):
    """Masks, stars on the edge and off the frame, what is clipped and what is not a number."""
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    plain, fast = (PatternFrames(n_frames + 1, shape, m) for m in (None, KERNELS))
    warm = rng.normal(0, 20, shape) * (rng.random(shape) < 0.5)
    for _ in range(n_frames):
        pixels = (warm + rng.normal(0, 1, shape)).astype(np.float32)
        pixels.flat[rng.integers(pixels.size)] = data.draw(VALUES)
        mask = (rng.random(shape) < 0.1).astype(np.uint8)
        x, y = np.array([data.draw(PLACES)]), np.array([data.draw(PLACES)])
        stars = Footprints(x, y, np.array([data.draw(st.floats(0.0, 5.0))]))
        for sample in (plain, fast):
            sample.add(pixels, mask, stars, 1.0)
    np.testing.assert_array_equal(fast.pattern().correction, plain.pattern().correction)


def test_rows_longer_than_what_is_sorted_at_once_agree():
    shape, rng = (3, PIXELS + 77), np.random.default_rng(4)
    plain, fast = (PatternFrames(11, shape, m) for m in (None, KERNELS))
    for _ in range(11):
        pixels = rng.normal(3, 2, shape).astype(np.float32)
        for sample in (plain, fast):
            sample.add(pixels, np.zeros(shape, np.uint8), Footprints(*np.zeros((3, 0))), 2.0)
    found = fast.pattern()
    assert 0.5 < found.fraction_corrected < 1.0
    np.testing.assert_array_equal(found.correction, plain.pattern().correction)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 29, 30, 33, 100])
def test_the_merge_exchange_sorts_any_number(n):
    ordered = np.random.default_rng(n).integers(-9, 9, (n, 40)).astype(np.int16)
    expected = np.sort(ordered, axis=0)
    sort_columns(ordered)
    np.testing.assert_array_equal(ordered, expected)
