"""Names of raw frames on every platform."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.publisher.naming import MAX_CHARACTERS, marked_name, plain_stem, safe_name
from tianyu.schema.paths import check_component


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("M31 r 0001.fits", "M31 r 0001.fits"),
        ("2025-05-30T03:44:00.fits", "2025-05-30T03_44_00.fits"),
        ('what?"*<|>\\.fit', "what_______.fit"),
        ("aux.fits", "_aux.fits"),
        ("COM1.fts.gz", "_COM1.fts.gz"),
        ("frame.", "frame"),
        ("...", "_"),
        ("仙女座.fits", "仙女座.fits"),
        ("caf\udce9.fits", "caf_.fits"),
    ],
)
def test_refused_characters_become_underscores(name, stored):
    assert safe_name(name) == stored


def test_a_long_name_keeps_its_endings():
    stored = safe_name("x" * 300 + ".fits.fz")
    assert len(stored) == MAX_CHARACTERS
    assert stored.endswith("x.fits.fz")


def test_a_long_name_in_another_script_fits_the_file_system():
    stored = marked_name("座" * 150 + ".fits", "0123456789abcdef")
    assert len(stored.encode()) <= 255
    assert stored.startswith("01234567_座")


@given(st.text(min_size=1, max_size=300))
def test_any_name_becomes_one_that_every_platform_accepts(name):
    stored = safe_name(name)
    assert check_component(stored) == stored
    assert check_component(marked_name(name, "ab" * 32))
    stored.encode()


@given(st.text(alphabet="aB1_-. é", min_size=1, max_size=30))
def test_a_stored_name_is_not_changed_again(name):
    assert safe_name(safe_name(name)) == safe_name(name)


@pytest.mark.parametrize(
    "spelling",
    ["HATP_042", "hatp_042", "HATP_042.fits", "HATP_042.FITS.FZ", "night/HATP_042.fits",
     "C:\\night\\HATP_042.fit"],
)  # fmt: skip
def test_people_mean_the_same_frame_by_many_spellings(spelling):
    assert plain_stem(spelling) == plain_stem("HATP_042.fits.fz")


def test_a_part_of_a_name_is_another_name():
    assert plain_stem("HATP.042.fits") != plain_stem("HATP")
