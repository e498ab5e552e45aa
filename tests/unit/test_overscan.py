"""Overscan and trim sections: read, doubted, cut and subtracted; saturation is seen before."""

import numpy as np
import pytest

from tianyu.pipelines.fits import interpret_header
from tianyu.pipelines.fits.cards import Cards
from tianyu.pipelines.fits.sections import parse_section, read_sections
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.overscan import cut

SHAPE = 40, 60


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("[1:50,1:40]", (0, 50, 0, 40)), (" [ 51 : 60 , 1:40 ] ", (50, 60, 0, 40)),
        ("[50:1,40:1]", (0, 50, 0, 40)), ("[0:50,1:40]", None), ("1:50", None), ("", None),
    ],
)  # fmt: skip
def test_a_section_is_read(text, section):
    assert parse_section(text) == section


@pytest.mark.parametrize(
    ("cards", "data", "overscan"),
    [
        ({"TRIMSEC": "[1:50,1:40]", "BIASSEC": "[51:60,1:40]"}, (0, 50, 0, 40), (50, 60, 0, 40)),
        ({"DATASEC": "[11:60,1:40]", "BIASSEC": "[1:10,1:40]"}, (10, 60, 0, 40), (0, 10, 0, 40)),
        ({"BIASSEC": "[51:60,1:40]"}, (0, 50, 0, 40), (50, 60, 0, 40)),
        ({"BIASSEC": "[1:60,31:40]"}, (0, 60, 0, 30), (0, 60, 30, 40)),
        ({"TRIMSEC": "[1:60,1:40]"}, None, None),
        ({"TRIMSEC": "[3:58,3:38]"}, (2, 58, 2, 38), None),
        ({"TRIMSEC": "[1:50,1:40]", "BIASSEC": "[51:60,1:40]", "TRIM": "done"}, None, None),
        ({}, None, None),
    ],
)
def test_sections_of_a_header(cards, data, overscan):
    readout = read_sections(Cards.of(cards), SHAPE)
    assert (readout.data, readout.overscan, readout.notes) == (data, overscan, ())


@pytest.mark.parametrize(
    ("cards", "note"),
    [
        ({"TRIMSEC": "[1:500,1:40]"}, "TRIMSEC = '[1:500,1:40]' is no section of the 60×40"),
        ({"BIASSEC": "nonsense"}, "BIASSEC = 'nonsense' is no section"),
        ({"TRIMSEC": "[1:60,1:40]", "BIASSEC": "[51:60,1:40]"}, "lies in the image itself"),
    ],
)
def test_sections_left_behind_by_a_program_that_cut_the_frame_are_ignored_in_words(cards, note):
    readout = read_sections(Cards.of(cards), SHAPE)
    assert (readout.data, readout.overscan) == (None, None)
    assert note in readout.notes[0]


def test_sizes_and_coordinates_count_from_the_first_pixel_that_sees_light():
    cards = {
        "IMAGETYP": "LIGHT", "EXPTIME": 60.0, "DATE-OBS": "2025-03-17T02:50:00",
        "RA": 150.0, "DEC": 25.0, "TRIMSEC": "[11:60,3:40]", "BIASSEC": "[1:10,1:40]",
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.0, "CRVAL2": 25.0,
        "CRPIX1": 35.0, "CRPIX2": 20.0, "CD1_1": -3e-4, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 3e-4,
    }  # fmt: skip
    header = interpret_header(cards, name="a.fits", shape=SHAPE)
    assert (header.width, header.height) == (50, 38)
    assert (header.wcs_cards["CRPIX1"], header.wcs_cards["CRPIX2"]) == (25.0, 18.0)


def test_the_level_of_each_row_is_taken_off():
    """A bias that drifts along the rows by 20 ADU is gone, to the noise of ten pixels' mean."""
    rng = np.random.default_rng(1)
    drift = 1000.0 + np.linspace(0, 20, 40)[:, None]
    light = np.zeros((40, 60))
    light[:, :50] = 500.0
    raw = np.round(drift + light + rng.normal(0, 4, SHAPE)).astype(np.uint16)
    raw[7, 55] = 60000  # a cosmic ray in the overscan
    frame = cut(raw, (0, 50, 0, 40), (50, 60, 0, 40))
    assert frame.corrected.dtype == np.float32
    rows = frame.corrected.mean(axis=1)
    assert np.abs(rows - 500.0).max() < 5 * 4 * np.sqrt(1 / 10 + 1 / 50)
    assert abs(rows.mean() - 500.0) < 5 * 4 * np.sqrt((1 / 10 + 1 / 50) / 40)


def test_a_strip_below_gives_a_level_per_column_and_a_narrow_one_a_single_level():
    raw = np.add.outer(np.zeros(40), np.arange(60.0))
    below = cut(raw, (0, 60, 0, 30), (0, 60, 30, 40))
    assert below.overscan.shape == (1, 60)
    assert not below.corrected.any()
    narrow = cut(raw, (0, 57, 0, 40), (57, 60, 0, 40))
    assert narrow.overscan.tolist() == [[58.0]]


def test_saturation_is_judged_before_the_overscan_goes_off():
    raw = np.full((4, 14), 1000, np.uint16)
    raw[2, 3] = 65535
    frame = cut(raw, (0, 8, 0, 4), (8, 14, 0, 4))
    calibrated = Calibrator(saturation=65535.0).apply(frame.pixels, frame.overscan)
    assert calibrated.mask[2, 3] == MaskBit.SATURATED
    assert calibrated.pixels[2, 3] == 64535.0
    assert calibrated.pixels[0, 0] == 0.0
    with_bias = Calibrator(bias=np.full((4, 8), 2.0)).apply(frame.pixels, frame.overscan)
    assert with_bias.pixels[0, 0] == -2.0


def test_a_frame_without_overscan_is_left_as_it_is():
    raw = np.arange(6, dtype=np.uint16).reshape(2, 3)
    assert cut(raw, None, None).corrected.dtype == np.uint16
    assert (cut(raw, None, None).corrected == raw).all()
