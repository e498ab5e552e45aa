"""Bias, dark, flat or light: from every spelling of the field, else from the name."""

import pytest

from tianyu.pipelines.fits.cards import Cards
from tianyu.pipelines.fits.errors import HeaderError
from tianyu.pipelines.fits.kinds import FlatKind, FrameKind, classify, kind_from_name, read_kind

BIAS, DARK, FLAT, LIGHT = FrameKind.BIAS, FrameKind.DARK, FrameKind.FLAT, FrameKind.LIGHT


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Light Frame", LIGHT), ("LIGHT", LIGHT), ("object", LIGHT), ("SCIENCE", LIGHT),
        ("EXPOSE", LIGHT), ("Bias Frame", BIAS), ("zero", BIAS), ("Zero Frame", BIAS),
        ("Dark", DARK), ("DARK FRAME", DARK), ("Flat Dark", DARK), ("Dome Flat", FLAT),
        ("SKYFLAT", FLAT), ("flat field", FLAT), ("FLAT,SKY", FLAT), ("Twilight", FLAT),
        ("1", LIGHT), ("2", BIAS), ("3", DARK), ("4", FLAT), ("tricolor", None),
    ],
)  # fmt: skip
def test_spellings(text, kind):
    assert classify(text) is kind


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Bias_BIN1_20250530_020505.fits.fz", BIAS), ("domeflat_g_001.fits", FLAT),
        ("zero0001.fit", BIAS), ("masterDark-60s.fits", DARK), ("autoflat_r.fits", FLAT),
        ("DarkFrame_1.fits", DARK), ("m13_001.fits", None), ("biased_001.fits", None),
        ("Flatiron-12.fits", None), ("flats-3.fits", FLAT), ("biases.fits", BIAS),
    ],
)  # fmt: skip
def test_words_of_a_name(name, kind):
    assert kind_from_name(name) is kind


@pytest.mark.parametrize(
    ("cards", "name", "flat_kind"),
    [
        ({"IMAGETYP": "FLAT"}, "domeflat_g_001.fits", FlatKind.DOME),
        ({"IMAGETYP": "SKYFLAT"}, "a.fits", FlatKind.TWILIGHT),
        ({"IMAGETYP": "FLAT", "OBJECT": "Twilight Flat"}, "a.fits", FlatKind.TWILIGHT),
        ({"OBSTYPE": "Dome Flat"}, "skyflat.fits", FlatKind.DOME),
        ({"IMAGETYP": "FLAT", "OBJECT": "Skylab"}, "flats_flat_1.fits", None),
    ],
)
def test_what_lit_a_flat(cards, name, flat_kind):
    reading = read_kind(Cards.of(cards), name)
    assert (reading.kind, reading.flat_kind) == (FLAT, flat_kind)


def test_the_header_counts_before_the_name_and_says_so():
    reading = read_kind(Cards.of({"IMAGETYP": "LIGHT"}), "dark_001.fits")
    assert reading.kind is LIGHT
    assert "file name says dark" in reading.notes[0]


def test_an_unknown_kind_falls_back_to_the_name():
    reading = read_kind(Cards.of({"IMAGETYP": "tricolor"}), "bias_1.fits")
    assert reading.kind is BIAS
    assert len(reading.notes) == 2


@pytest.mark.parametrize("cards", [{}, {"OBJECT": "HATP-32"}])
def test_a_frame_that_says_nothing_is_light_and_says_so(cards):
    reading = read_kind(Cards.of(cards), "HATP-32171220041512.FITS.fz")
    assert reading.kind is LIGHT
    assert "no keyword states the kind" in reading.notes[0]


def test_an_object_named_dark_is_a_dark_where_nothing_else_tells():
    assert read_kind(Cards.of({"OBJECT": "Dark"}), "a.fits").kind is DARK


@pytest.mark.parametrize("word", ["ARC", "comp", "Focus"])
def test_kinds_that_photometry_cannot_use_are_refused(word):
    with pytest.raises(HeaderError, match=rf"x\.fits: IMAGETYP = '{word}'.*leave the file out"):
        read_kind(Cards.of({"IMAGETYP": word}), "x.fits")
