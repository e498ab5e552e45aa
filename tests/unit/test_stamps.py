"""Stamps: the pixels about a source as they are, and marks where there are none."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.stamps import OFF_DETECTOR, cut_stamps, on_frame, pixel_distance

PIXELS = np.arange(20 * 30, dtype=np.float32).reshape(20, 30)
CLEAR = np.zeros(PIXELS.shape, np.uint8)


@given(st.floats(-0.49, 29.49), st.floats(-0.49, 19.49), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_a_stamp_is_the_frame_about_the_nearest_pixel(x, y, half):
    """As of a frame that is padded with marks, wherever the stamp lies."""
    stamps, bits = cut_stamps(PIXELS, CLEAR, np.array([x]), np.array([y]), half)
    row, column = round(y), round(x)
    block = (slice(row, row + 2 * half + 1), slice(column, column + 2 * half + 1))
    padded = np.pad(CLEAR, half, constant_values=OFF_DETECTOR)
    np.testing.assert_array_equal(bits[0], padded[block])
    np.testing.assert_array_equal(stamps[0], np.pad(PIXELS, half, mode="edge")[block])


def test_what_is_not_finite_is_marked_so_and_other_marks_are_kept():
    pixels, mask = PIXELS.copy(), CLEAR.copy()
    pixels[10, 10], mask[10, 11] = np.nan, MaskBit.SATURATED
    _, bits = cut_stamps(pixels, mask, np.array([10.0]), np.array([10.0]), 1)
    expected = [[0, 0, 0], [0, MaskBit.NOT_FINITE, MaskBit.SATURATED], [0, 0, 0]]
    np.testing.assert_array_equal(bits[0], expected)
    assert not mask[10, 10]


def test_a_frame_ends_half_a_pixel_beyond_the_centres_of_its_last_pixels():
    x, y = np.array([-0.5, -0.51, 29.5, 29.51]), np.full(4, 10.0)
    assert on_frame(PIXELS, x, y).tolist() == [True, False, True, False]
    assert on_frame(PIXELS, np.array([2.5, 2.4]), y[:2], margin=3.0).tolist() == [True, False]


def test_distances_are_from_the_middle_pixel():
    np.testing.assert_allclose(pixel_distance(3)[0], [np.sqrt(2), 1, np.sqrt(2)])
