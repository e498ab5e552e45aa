"""Circles on stamps: exact areas, light left out with its area, masked pixels flagged."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.science.circles import circle_sums, mask_flags
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.stamps import OFF_DETECTOR

PLACE = st.floats(-0.5, 0.5)


@given(PLACE, PLACE, st.floats(1.0, 8.0))
@settings(max_examples=40, deadline=None)
def test_circles_on_one_are_their_area_wherever_they_stand(x, y, radius):
    stamps, clear = np.ones((2, 19, 19), np.float32), np.zeros((2, 19, 19), np.uint8)
    at = np.array([x, -x]), np.array([y, -y])
    sums, areas = circle_sums(stamps, clear, *at, np.array([radius]))
    np.testing.assert_allclose(sums, math.pi * radius**2, rtol=1e-5)
    np.testing.assert_allclose(areas, math.pi * radius**2, rtol=1e-12)


@pytest.mark.parametrize("mark", [MaskBit.NO_FLAT, MaskBit.NOT_FINITE, OFF_DETECTOR])
def test_a_pixel_left_out_takes_its_area_along(mark):
    """A whole pixel inside a circle of 3 px: 9π − 1."""
    stamps, bits = np.ones((1, 9, 9), np.float32), np.zeros((1, 9, 9), np.uint8)
    stamps[0, 4, 5], bits[0, 4, 5] = 0.0, mark
    sums, areas = circle_sums(stamps, bits, np.zeros(1), np.zeros(1), np.array([3.0]))
    assert areas[0, 0] == pytest.approx(9 * math.pi - 1, rel=1e-5)
    assert sums[0, 0] == pytest.approx(9 * math.pi - 1, rel=1e-5)


def test_each_stamp_is_summed_alone():
    """Values 1, 2 and 3 in three stamps; a circle of one pixel's size within the middle one."""
    stamps = np.ones((3, 9, 9), np.float32) * np.float32([1, 2, 3])[:, None, None]
    sums, _ = circle_sums(
        stamps, np.zeros_like(stamps, np.uint8), np.zeros(3), np.zeros(3), np.array([4.0])
    )
    np.testing.assert_allclose(sums[:, 0] / (16 * math.pi), [1, 2, 3], rtol=1e-5)


@pytest.mark.parametrize(
    ("bit", "flag"),
    [
        (MaskBit.SATURATED, FluxFlag.SATURATED),
        (MaskBit.BAD, FluxFlag.MASKED_PIXEL),
        (MaskBit.NO_FLAT, FluxFlag.MASKED_PIXEL),
        (MaskBit.COSMIC_RAY, FluxFlag.COSMIC_RAY),
        (MaskBit.TRAIL, FluxFlag.TRAIL),
        (MaskBit.SATURATED | MaskBit.BAD, FluxFlag.SATURATED | FluxFlag.MASKED_PIXEL),
        (OFF_DETECTOR, 0),
    ],
)
def test_a_masked_pixel_flags_the_circles_that_touch_it(bit, flag):
    """The pixel 3 px to the right begins at 2.5 px; from x = 0.2 at 2.3 px."""
    bits = np.zeros((2, 11, 11), np.uint8)
    bits[:, 5, 8] = bit
    flags = mask_flags(bits, np.array([0.0, 0.2]), np.zeros(2), np.array([2.4, 2.6]))
    assert flags.tolist() == [[0, flag], [flag, flag]]
