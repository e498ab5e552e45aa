"""Calibration is (S − B − t·D)/F, and what cannot be calibrated is masked, never NaN."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.calibrate import Calibrator, calibrate
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.masterplanes import LOWEST_FLAT

RAW = np.array([[1000, 2000], [3000, 65535]], np.uint16)
BIAS = np.array([[300, 300], [310, 300]], np.float32)
DARK = np.array([[10, 0], [20, 10]], np.float32)
FLAT = np.array([[1.0, 0.5], [1.25, 1.25]], np.float32)


def test_worked_example():
    """(1000 − 300 − 2·10)/1 = 680; (2000 − 300)/0.5 = 3400; (3000 − 310 − 40)/1.25 = 2120."""
    frame = calibrate(RAW, bias=BIAS, dark=DARK, dark_scale=2.0, flat=FLAT, saturation=60000)
    np.testing.assert_array_equal(frame.pixels, [[680, 3400], [2120, (65535 - 320) / 1.25]])
    np.testing.assert_array_equal(frame.mask, [[0, 0], [0, MaskBit.SATURATED]])
    assert (frame.pixels.dtype, frame.mask.dtype) == (np.float32, np.uint8)


def test_nothing_given_is_nothing_applied():
    frame = calibrate(RAW)
    np.testing.assert_array_equal(frame.pixels, RAW)
    assert not frame.mask.any()


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i4", ">i4", "<f4", ">f4", "<f8", ">f8", "<i8"])
def test_every_type_and_byte_order_gives_the_same(dtype):
    expected = calibrate(RAW, bias=BIAS, flat=FLAT, saturation=65535)
    frame = calibrate(RAW.astype(dtype), bias=BIAS, flat=FLAT, saturation=65535)
    np.testing.assert_array_equal(frame.pixels, expected.pixels)
    np.testing.assert_array_equal(frame.mask, expected.mask)
    assert frame.pixels.dtype.isnative


def test_signed_frames_may_dip_below_zero():
    frame = calibrate(np.array([[-5, 4095]], ">i2"), saturation=4095)
    np.testing.assert_array_equal(frame.pixels, [[-5, 4095]])
    np.testing.assert_array_equal(frame.mask, [[0, MaskBit.SATURATED]])


@pytest.mark.parametrize(
    ("saturation", "saturated"),
    [(2000, [0, 1, 1]), (2000.5, [0, 0, 1]), (70000, [0, 0, 0]), (np.inf, [0, 0, 0])],
)
def test_saturation_is_at_or_above_the_level(saturation, saturated):
    raw = np.array([[1999, 2000, 2001]], np.uint16)
    mask = calibrate(raw, saturation=saturation).mask
    np.testing.assert_array_equal(mask[0] // MaskBit.SATURATED, saturated)


def test_pixels_without_a_value_get_the_typical_level_and_a_bit():
    raw = np.full((8, 8), 500.0)
    raw[0, 0], raw[0, 1] = np.nan, np.inf
    flat = np.ones((8, 8))
    flat[1, :3] = np.nan, LOWEST_FLAT, -1.0
    bias = np.zeros((8, 8))
    bias[2, 0] = np.nan
    frame = calibrate(raw, bias=bias, flat=flat)
    np.testing.assert_array_equal(frame.pixels, np.full((8, 8), 500.0))
    assert frame.mask[0, :3].tolist() == [MaskBit.NOT_FINITE, MaskBit.NOT_FINITE, 0]
    assert frame.mask[1, :4].tolist() == [MaskBit.NO_FLAT] * 3 + [0]
    assert frame.mask[2, 0] == MaskBit.NOT_FINITE


def test_integer_frames_get_holes_filled_too():
    flat = np.ones((8, 8))
    flat[3, 3] = 0.0
    frame = calibrate(np.full((8, 8), 500, np.uint16), flat=flat)
    assert frame.pixels[3, 3] == 500
    assert frame.mask[3, 3] == MaskBit.NO_FLAT


def test_bad_pixels_are_inherited_and_keep_their_value():
    bad = np.array([[MaskBit.BAD, 0], [0, MaskBit.BAD]], np.uint8)
    frame = calibrate(RAW, bad=bad, saturation=60000)
    assert frame.mask.tolist() == [[1, 0], [0, MaskBit.BAD | MaskBit.SATURATED]]
    np.testing.assert_array_equal(frame.pixels, RAW)


def test_frame_without_any_finite_pixel_is_zero_and_fully_masked():
    frame = calibrate(np.full((4, 4), np.nan))
    np.testing.assert_array_equal(frame.pixels, np.zeros((4, 4)))
    assert (frame.mask == MaskBit.NOT_FINITE).all()


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(np.float32, (6, 5), elements=st.floats(width=32)),
    hnp.arrays(np.float32, (6, 5), elements=st.floats(width=32)),
    hnp.arrays(np.float32, (6, 5), elements=st.floats(width=32)),
)
def test_pixels_are_finite_whatever_comes_in(raw, bias, flat):
    frame = calibrate(raw, bias=bias, flat=flat, saturation=6e4)
    assert np.isfinite(frame.pixels).all()
    assert (frame.mask[~np.isfinite(raw)] & MaskBit.NOT_FINITE).all()


def test_one_calibrator_serves_many_frames_and_writes_to_no_argument():
    arrays = [RAW.copy(), BIAS.copy(), DARK.copy(), FLAT.copy(), np.zeros((2, 2), np.uint8)]
    for array in arrays:
        array.setflags(write=False)
    raw, bias, dark, flat, bad = arrays
    calibrator = Calibrator(bias=bias, dark=dark, flat=flat, bad=bad, saturation=6e4)
    first, second = calibrator.apply(raw), calibrator.apply(raw)
    np.testing.assert_array_equal(first.pixels, second.pixels)
    first.mask[:] = 255  # the result belongs to the caller
    assert calibrator.apply(raw).mask.tolist() == second.mask.tolist()


def test_calibrator_does_not_see_later_changes():
    bias = BIAS.copy()
    calibrator = Calibrator(bias=bias)
    bias[:] = 0
    assert calibrator.apply(RAW).pixels[0, 0] == 700


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bias": BIAS[:1]}, "raw frame has shape"),
        ({"bias": BIAS, "flat": FLAT[:1]}, "not images of one shape"),
        ({"dark": DARK, "dark_scale": -1.0}, "dark scale is -1.0"),
        ({"dark": DARK, "dark_scale": np.nan}, "dark scale is nan"),
    ],
)
def test_refuses_frames_that_do_not_belong_together(arguments, message):
    with pytest.raises(UnusableDataError, match=message):
        calibrate(RAW, **arguments)
