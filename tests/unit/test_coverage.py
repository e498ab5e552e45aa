"""Coverage of a template: what is searched, and the small holes that are bridged."""

import numpy as np
import pytest

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.coverage import bridge, saturated_cores, searched_area


def test_pixels_with_half_of_the_frames_or_more_are_searched():
    template = np.array([[1, 1, 1, np.nan]], np.float32)
    assert searched_area(template, np.array([[10, 5, 4, 10]]), 0.5).tolist() == [
        [True, True, False, False]
    ]
    with pytest.raises(UnusableDataError, match="no frame covers any pixel"):
        searched_area(template, np.zeros((1, 4), int), 0.0)


def test_a_core_is_a_hole_inside_and_not_wider_than_eight_widths():
    searched = np.ones((60, 60), bool)
    searched[10:13, 10:13] = searched[40:57, 30:33] = searched[:4, 50] = False
    holes = saturated_cores(searched, fwhm=2.0)
    expected = np.zeros_like(searched)
    expected[10:13, 10:13] = True  # 3 px; the second is 17 px long, the third at the border
    np.testing.assert_array_equal(holes, expected)


def test_holes_take_the_value_of_the_nearest_searched_pixel():
    pixels = np.array([[1, 0, 0, 4, 9]], np.float32)
    searched = np.array([[True, False, False, True, True]])
    bridged = bridge(pixels, searched, ~searched)
    np.testing.assert_array_equal(bridged, [[1, 1, 4, 4, 9]])
    np.testing.assert_array_equal(pixels, [[1, 0, 0, 4, 9]])
    np.testing.assert_array_equal(bridge(pixels, searched, np.zeros_like(searched)), pixels)
