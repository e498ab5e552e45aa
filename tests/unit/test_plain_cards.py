"""Cards of plain values: byte for byte what astropy writes."""

import string

import pytest
from astropy.io.fits import Header
from hypothesis import example, given
from hypothesis import strategies as st

from tianyu.pipelines.fits.plaincards import plain_card

KEYWORDS = st.text(string.ascii_uppercase + string.digits + "_", min_size=1, max_size=30)
VALUES = (
    st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(string.printable, max_size=30)
)


@given(keyword=KEYWORDS, value=VALUES)
@example(keyword="SIGMA_ADU", value=0.0039215686274509803)
@example(keyword="NOISE", value=-1.2345678901234567e-101)
@example(keyword="WHEN", value="2025-03-17T02:50:00")
@example(keyword="METHOD", value="mean")
def test_a_plain_card_is_astropys(keyword, value):
    card = plain_card(keyword, value)
    if card is None:
        return
    header = Header()
    header[keyword if len(keyword) <= 8 else f"HIERARCH {keyword}"] = value
    assert card == header.tostring(endcard=False, padding=False)


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("N_FRAMES", 7), ("IS_ROOT", True), ("SIGMA_ADU", 0.1 + 0.2), ("METHOD", "weighted_mean"),
        ("BIAS_SUBTRACTED", False), ("CANVAS_X0", -12),
    ],
)  # fmt: skip
def test_what_products_say_is_plain(keyword, value):
    assert plain_card(keyword, value) is not None


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("COMMENT", "a note"), ("NOTE", "é"), ("NOTE", "it's"), ("NOTE", "DP.1: 2.0"),
        ("NOTE", float("nan")), ("NOTE", None), ("NOTE", "x" * 80), ("lower", 1), ("NOTE", " x"),
    ],
)  # fmt: skip
def test_everything_else_is_left_to_astropy(keyword, value):
    assert plain_card(keyword, value) is None
