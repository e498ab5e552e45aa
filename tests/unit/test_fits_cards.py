"""Card text becomes values: as astropy reads it, and without ever refusing a dirty card."""

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.fits.angles import parse_angle, separation, wrap_180
from tianyu.pipelines.fits.cards import Cards, parse_cards


def card(text: str) -> bytes:
    return text.ljust(80).encode("latin-1")


@pytest.mark.parametrize(
    ("text", "keyword", "value", "comment"),
    [
        ("SIMPLE  =                    T / standard", "SIMPLE", True, "standard"),
        ("EXPTIME = 060.00 / seconds", "EXPTIME", 60.0, "seconds"),
        ("BZERO   =              32768", "BZERO", 32768, ""),
        ("JD      =  2.4608256D+06", "JD", 2460825.6, ""),
        ("FILTER  = 'g       '           / Filter", "FILTER", "g", "Filter"),
        ("OBSERVER= 'O''Neill / Lee'", "OBSERVER", "O'Neill / Lee", ""),
        ("OBJECT  = 'no end of it", "OBJECT", "no end of it", ""),
        ("NAXIS   =2", "NAXIS", 2, ""),
        ("DATE-OBS= 2025-05-30", "DATE-OBS", "2025-05-30", ""),
        ("HIERARCH ESO DPR TYPE = 'FLAT,SKY' / type", "ESO DPR TYPE", "FLAT,SKY", "type"),
        ("CCD-TEMP=                -20.5 / [°C]", "CCD-TEMP", -20.5, "[°C]"),
        ("OBJECT  =", "OBJECT", "", ""),
    ],
)
def test_a_card_is_read(text, keyword, value, comment):
    cards = parse_cards(card(text))
    assert cards.values == {keyword: value}
    assert type(cards.values[keyword]) is type(value)
    assert cards.comments == {keyword: comment}


def test_a_long_string_is_joined():
    block = card("NOTE    = 'begins &'") + card("CONTINUE  'and ends' / at last")
    assert parse_cards(block).values == {"NOTE": "begins and ends"}


def test_reading_stops_at_end_and_the_first_of_two_counts():
    block = card("A       = 1") + card("A       = 2") + card("END") + card("B       = 3")
    assert parse_cards(block).values == {"A": 1}


def test_commentary_is_left_out():
    assert parse_cards(card("COMMENT = 'not a value'") + card("HISTORY x = 1")).values == {}


header_values = st.one_of(
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60),
)


@given(st.dictionaries(st.from_regex(r"\A[A-Z][A-Z0-9_-]{0,7}\Z"), header_values, max_size=8))
def test_what_astropy_writes_is_read_back(values):
    header = fits.Header()
    for keyword, value in values.items():
        if keyword not in {"END", "COMMENT", "HISTORY", "CONTINUE", "HIERARCH"}:
            header[keyword] = value
    text = header.tostring()
    expected = fits.Header.fromstring(text)  # astropy itself rounds floats to 16 digits
    assert parse_cards(text.encode()).values == {key: expected[key] for key in expected}


@given(st.binary(max_size=400))
def test_no_bytes_make_it_fail(block):
    parse_cards(block)


def test_values_are_given_with_the_type_asked_for():
    cards = Cards.of({"A": "1.5", "B": True, "C": float("nan"), "D": 10**400, "E": " N/A "})
    assert cards.number("A") == 1.5
    assert [cards.number(key) for key in "BCDEF"] == [None] * 5
    assert cards.text("E") is None
    assert cards.texts("AE") == {"A": "1.5"}


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("32 46 49", 32 + 46 / 60 + 49 / 3600),
        ("-00:00:36", -0.01),
        ("+43 08 42.0", 43.145),
        ("32d46m49s", 32.780277777777776),
        ("16h00m44.00s", 16.012222222222222),
        ("110°52'48\"", 110.88),
        ("  240.18 ", 240.18),
        ("1.5D1", 15.0),
        ("02:05.25", 2.0875),
    ],
)
def test_an_angle_is_read(text, degrees):
    angle = parse_angle(text)
    assert angle is not None
    assert angle.value == pytest.approx(degrees, abs=1e-12)


@pytest.mark.parametrize("text", ["", "none", "12 61 00", "12 00 60", "1 2 3 4", "nan", "1e999"])
def test_what_is_no_angle_is_not_read(text):
    assert parse_angle(text) is None


@given(st.floats(-1e4, 1e4))
def test_wrapping_keeps_the_direction(angle):
    wrapped = wrap_180(angle)
    assert -180.0 < wrapped <= 180.0
    assert separation(wrapped, angle) < 1e-9
