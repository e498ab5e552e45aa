"""Peaks: one for each isolated maximum, none for the edge, masked cores and lone pixels."""

import numpy as np
import pytest

from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.peaks import find_peaks, noise_at, smooth

SHAPE = (30, 40)


def blob(*places):
    """A 3 × 3 mound of 100 with a top of 200 at each place (y, x)."""
    pixels = np.zeros(SHAPE, np.float32)
    for y, x in places:
        pixels[y - 1 : y + 2, x - 1 : x + 2] = 100.0
        pixels[y, x] = 200.0
    return pixels


def peaks_of(pixels, mask=None, rms=5.0, min_area=4):
    mask = np.zeros(SHAPE, np.uint8) if mask is None else mask
    found = find_peaks(pixels, mask, rms, 10.0, min_area)
    return [(int(y), int(x)) for y, x in zip(*np.unravel_index(found, SHAPE), strict=True)]


def test_mounds_apart_are_peaks_and_of_two_close_ones_the_higher_is():
    pixels = blob((10, 10), (20, 30), (20, 33))
    pixels[20, 33] = 250.0
    assert peaks_of(pixels) == [(10, 10), (20, 33)]


def test_of_two_equal_pixels_the_first_is_the_peak():
    pixels = blob((10, 10))
    pixels[10, 11] = 200.0
    assert peaks_of(pixels) == [(10, 10)]


def test_a_lone_pixel_and_one_at_the_edge_are_no_peaks():
    pixels = blob((2, 20), (15, 37))
    pixels[15, 10] = 5000.0
    assert peaks_of(pixels) == []


@pytest.mark.parametrize(("bit", "found"), [(MaskBit.BAD, [(10, 10)]), (MaskBit.SATURATED, [])])
def test_a_saturated_neighbour_competes_and_a_bad_one_does_not(bit, found):
    pixels, mask = blob((10, 10)), np.zeros(SHAPE, np.uint8)
    pixels[10, 12], mask[10, 12] = 900.0, bit
    assert peaks_of(pixels, mask) == found


def test_a_map_of_the_noise_is_taken_where_the_peak_is():
    """200 is 40σ of 5 and 8σ of 25."""
    rms = np.full(SHAPE, 5.0, np.float32)
    rms[:, 20:] = 25.0
    assert peaks_of(blob((10, 10), (20, 30)), rms=rms) == [(10, 10)]
    np.testing.assert_array_equal(noise_at(rms, np.array([0, 39])), [5.0, 25.0])
    np.testing.assert_array_equal(noise_at(7.0, np.array([0, 39])), [7.0, 7.0])


def test_smoothing_averages_nine_pixels_and_takes_masked_ones_for_sky():
    pixels, mask = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.uint8)
    pixels[10, 10], pixels[20, 20], mask[20, 20], pixels[5, 30] = 9.0, 9.0, 1, np.nan
    expected = np.zeros(SHAPE)
    expected[9:12, 9:12] = 1.0
    np.testing.assert_array_equal(smooth(pixels, mask), expected)
    assert pixels[10, 10] == 9.0
