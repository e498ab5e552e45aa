"""Stacks are exact: independent of order, chunks and fan-out, and every step can be undone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science import stack as stack_module
from tianyu.pipelines.science.stack import STEPS_PER_ADU, Canvas, PartialStack

CANVAS = Canvas(x0=-1, y0=1, width=6, height=4)
FRAME_SHAPE = (5, 7)

pixel_values = st.floats(-7e4, 7e4, width=32) | st.sampled_from([np.nan, np.inf, -np.inf])
frames = st.tuples(
    hnp.arrays(np.float32, FRAME_SHAPE, elements=pixel_values),
    hnp.arrays(np.uint8, FRAME_SHAPE, elements=st.sampled_from([0, 0, 0, 1, 2])),
    st.integers(-9, 9),
    st.integers(-9, 9),
    st.booleans(),
)


def flat_sum(many):
    stack = PartialStack.empty(CANVAS)
    for pixels, mask, dx, dy, flipped in many:
        stack.add(pixels, mask, dx, dy, flipped=flipped)
    return stack


def by_definition(many):
    """Sum and count of the contract, pixel by pixel, in Python's integers."""
    total = np.zeros(CANVAS.shape, object)
    count = np.zeros(CANVAS.shape, int)
    for pixels, mask, dx, dy, flipped in many:
        image, bad = (pixels[::-1, ::-1], mask[::-1, ::-1]) if flipped else (pixels, mask)
        for j, i in np.ndindex(CANVAS.shape):
            x, y = CANVAS.x0 + i + dx, CANVAS.y0 + j + dy
            inside = 0 <= x < FRAME_SHAPE[1] and 0 <= y < FRAME_SHAPE[0]
            if inside and bad[y, x] == 0 and np.isfinite(image[y, x]):
                total[j, i] += round(float(image[y, x]) * STEPS_PER_ADU)
                count[j, i] += 1
    return total, count


def tree(leaves, fan_out):
    """Merge stacks level by level, `fan_out` at a time."""
    while len(leaves) > 1:
        level = []
        for start in range(0, len(leaves), fan_out):
            node = PartialStack.empty(CANVAS)
            for leaf in leaves[start : start + fan_out]:
                node.merge(leaf)
            level.append(node)
        leaves = level
    return leaves[0]


def assert_same(left, right):
    np.testing.assert_array_equal(left.total, right.total)
    np.testing.assert_array_equal(left.count, right.count)
    assert left.n_frames == right.n_frames


def one_pixel(value):
    return np.array([[value]], np.float32), np.zeros((1, 1), np.uint8)


def test_canvas_pixel_takes_the_frame_pixel_of_the_contract():
    """Canvas (i, j) ← frame (x0 + i + dx, y0 + j + dy), here (2 + 0 + 1, 1 + 0 − 1) = (3, 0)."""
    pixels = np.arange(20, dtype=np.float32).reshape(4, 5)
    stack = PartialStack.empty(Canvas(x0=2, y0=1, width=3, height=2))
    stack.add(pixels, np.zeros((4, 5), np.uint8), dx=1, dy=-1)
    np.testing.assert_array_equal(stack.mean(), [[3, 4, np.nan], [8, 9, np.nan]])
    np.testing.assert_array_equal(stack.count, [[1, 1, 0], [1, 1, 0]])


def test_flipped_frame_is_reversed_before_it_is_shifted():
    pixels = np.array([[1, 2], [3, 4]], np.float32)
    stack = PartialStack.empty(Canvas(0, 0, 2, 2))
    stack.add(pixels, np.zeros((2, 2), np.uint8), 0, 0, flipped=True)
    np.testing.assert_array_equal(stack.mean(), [[4, 3], [2, 1]])


def test_pixels_are_rounded_to_sixteenths():
    """0.03125·16 = 0.5 rounds to even 0; 0.1·16 = 1.6 to 2."""
    pixels = np.array([[0.03125, 0.1, -0.1]], np.float32)
    stack = PartialStack.empty(Canvas(0, 0, 3, 1))
    stack.add(pixels, np.zeros((1, 3), np.uint8), 0, 0)
    np.testing.assert_array_equal(stack.total, [[0, 2, -2]])
    assert stack.mean()[0, 1] == 0.125


@settings(max_examples=40, deadline=None)
@given(st.lists(frames, max_size=5))
def test_equals_its_definition(many):
    total, count = by_definition(many)
    stack = flat_sum(many)
    np.testing.assert_array_equal(stack.total.astype(object), total)
    np.testing.assert_array_equal(stack.count, count)


@settings(max_examples=40, deadline=None)
@given(st.lists(frames, min_size=1, max_size=9), st.integers(1, 4), st.integers(2, 5), st.randoms())
def test_any_tree_of_any_chunks_in_any_order_equals_the_flat_sum(many, chunk, fan_out, random):
    expected = flat_sum(many)
    shuffled = random.sample(many, len(many))
    leaves = [flat_sum(shuffled[i : i + chunk]) for i in range(0, len(many), chunk)]
    result = tree(leaves, fan_out)
    assert_same(result, expected)
    np.testing.assert_array_equal(result.mean(), expected.mean())


@settings(max_examples=40, deadline=None)
@given(st.lists(frames, max_size=4), frames)
def test_subtract_undoes_add(many, misjudged):
    stack = flat_sum(many)
    pixels, mask, dx, dy, flipped = misjudged
    stack.add(pixels, mask, dx, dy, flipped=flipped)
    stack.subtract(pixels, mask, dx, dy, flipped=flipped)
    assert_same(stack, flat_sum(many))


@settings(max_examples=20, deadline=None)
@given(st.lists(frames, min_size=1, max_size=4), st.data())
def test_correction_made_elsewhere_equals_never_having_added(many, data):
    """A misjudged frame is subtracted from an empty stack, which then joins the tree."""
    wrong = data.draw(st.integers(0, len(many) - 1))
    correction = PartialStack.empty(CANVAS)
    pixels, mask, dx, dy, flipped = many[wrong]
    correction.subtract(pixels, mask, dx, dy, flipped=flipped)
    stack = flat_sum(many)
    stack.merge(correction)
    assert_same(stack, flat_sum(many[:wrong] + many[wrong + 1 :]))


@settings(max_examples=20, deadline=None)
@given(frames)
def test_mask_is_the_same_as_nan(frame):
    pixels, mask, dx, dy, flipped = frame
    holes = np.where(mask != 0, np.float32(np.nan), pixels)
    assert_same(flat_sum([frame]), flat_sum([(holes, np.zeros_like(mask), dx, dy, flipped)]))


def test_no_good_frame_gives_a_mean_of_nan():
    stack = tree([PartialStack.empty(CANVAS)] * 3, 2)
    assert np.isnan(stack.mean()).all()
    assert stack.mean().dtype == np.float32
    assert stack.n_frames == 0


def test_frame_beside_the_canvas_adds_nothing_but_is_counted():
    stack = flat_sum(
        [(np.ones(FRAME_SHAPE, np.float32), np.zeros(FRAME_SHAPE, np.uint8), 99, 0, 0)]
    )
    assert stack.n_frames == 1
    assert not stack.count.any()


def test_strips_make_no_difference(monkeypatch):
    rng = np.random.default_rng(3)
    frame = rng.normal(0, 50, (40, 30)).astype(np.float32)
    mask = (rng.random((40, 30)) < 0.1).astype(np.uint8)
    whole = PartialStack.empty(Canvas(0, 0, 28, 37))
    whole.add(frame, mask, 1, 2)
    monkeypatch.setattr(stack_module, "_STRIP_PIXELS", 100)
    strips = PartialStack.empty(Canvas(0, 0, 28, 37))
    strips.add(frame, mask, 1, 2)
    assert_same(strips, whole)


def test_stays_int32_for_2047_frames_at_65536_adu_and_never_overflows():
    """2047·65536·16 = 2³¹ − 2²⁰ fits an int32, one frame more does not."""
    stack = PartialStack.empty(Canvas(0, 0, 1, 1))
    for _ in range(2047):
        stack.add(*one_pixel(65536.0), 0, 0)
    assert stack.total.dtype == np.int32
    stack.add(*one_pixel(65536.0), 0, 0)
    assert stack.total.dtype == np.int64
    assert stack.total[0, 0] == 2048 * 65536 * 16
    assert stack.mean()[0, 0] == 65536.0


def test_merge_widens_before_it_overflows():
    stack = PartialStack.empty(Canvas(0, 0, 1, 1))
    stack.add(*one_pixel(5e7), 0, 0)
    for _ in range(4):
        stack.merge(stack)
    assert stack.mean()[0, 0] == 5e7
    assert stack.count[0, 0] == 16


def test_count_widens_before_it_overflows():
    stack = PartialStack(
        Canvas(0, 0, 1, 1), np.array([[16 * 32767]]), np.array([[32767]], np.int16), 32767
    )
    stack.add(*one_pixel(1.0), 0, 0)
    assert stack.count[0, 0] == 32768
    assert stack.mean()[0, 0] == 1.0


def test_absurd_pixels_are_clipped_alike_on_both_sides():
    stack = PartialStack.empty(Canvas(0, 0, 2, 1))
    stack.add(np.array([[1e30, -1e30]], np.float32), np.zeros((1, 2), np.uint8), 0, 0)
    np.testing.assert_array_equal(stack.total, [[2**30, -(2**30)]])
    stack.add(np.array([[3e38, -3e38]], np.float32), np.zeros((1, 2), np.uint8), 0, 0)
    np.testing.assert_array_equal(stack.count, [[1, 1]])  # sixteen times that is no float32


def test_stored_arrays_make_the_same_stack_and_stay_untouched():
    frame = np.full(FRAME_SHAPE, 2.0, np.float32), np.zeros(FRAME_SHAPE, np.uint8), 0, 0
    stack = PartialStack.empty(CANVAS)
    stack.add(*frame)
    stored_total, stored_count = stack.total.copy(), stack.count.copy()
    loaded = PartialStack(CANVAS, stored_total, stored_count, stack.n_frames)
    assert_same(loaded, stack)
    loaded.add(*frame)
    np.testing.assert_array_equal(stored_total, stack.total)
    np.testing.assert_array_equal(stored_count, stack.count)


def test_arguments_are_not_written_to():
    pixels, mask = np.full(FRAME_SHAPE, np.nan, np.float32), np.ones(FRAME_SHAPE, np.uint8)
    pixels.setflags(write=False)
    mask.setflags(write=False)
    PartialStack.empty(CANVAS).add(pixels, mask, 0, 0, flipped=True)


def test_refuses_what_cannot_be_stacked():
    stack = PartialStack.empty(CANVAS)
    with pytest.raises(UnusableDataError, match="one shape"):
        stack.add(np.zeros((2, 2), np.float32), np.zeros((2, 3), np.uint8), 0, 0)
    with pytest.raises(UnusableDataError, match="cannot be merged"):
        stack.merge(PartialStack.empty(Canvas(0, 0, 6, 4)))
    with pytest.raises(UnusableDataError, match="canvas needs integers"):
        PartialStack(CANVAS, np.zeros(CANVAS.shape), np.zeros(CANVAS.shape, np.int16), 0)
    with pytest.raises(TypeError):
        stack.add(*one_pixel(1.0), 0.5, 0)
    with pytest.raises(ValueError, match="holds no pixel"):
        Canvas(0, 0, 0, 5)


@pytest.mark.parametrize(
    ("counts", "dtype"), [([0, 255], np.uint8), ([0, 256], np.int16), ([-1, 3], np.int16)]
)
def test_counts_are_kept_in_bytes_where_these_hold_them(counts, dtype):
    stack = PartialStack(Canvas(0, 0, 2, 1), np.zeros((1, 2), np.int32), np.array([counts]), 0)
    small = stack.small_count()
    assert small.dtype == dtype
    again = PartialStack(Canvas(0, 0, 2, 1), stack.total, small, 0)
    np.testing.assert_array_equal(again.count, stack.count)
    assert again.count.dtype == stack.count.dtype
