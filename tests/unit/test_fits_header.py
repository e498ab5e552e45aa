"""Headers interpreted: pointing, detector, optics, and the promise never to fail oddly."""

import dataclasses
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.errors import PermanentError, UnusableDataError
from tianyu.pipelines.fits import FrameHeader, FrameKind, HeaderError, interpret_header


def read(name="a.fits", comments=None, **cards: object) -> FrameHeader:
    """Interpret a minimal header with ``cards`` added; ``__`` stands for a hyphen."""
    header = {"EXPTIME": 30.0} | {key.replace("__", "-"): value for key, value in cards.items()}
    return interpret_header(header, name=name, shape=(500, 650), comments=comments)


def test_a_whole_header_with_nothing_to_assume():
    header = interpret_header(
        {
            "IMAGETYP": "Light Frame", "EXPTIME": 30.0, "EXPOSURE": 30.0, "FILTER": "g       ",
            "DATE-OBS": "2025-05-30T03:44:00.190", "OBJECT": "LPSEB35", "RA": "16 00 44.00",
            "DEC": "+43 08 42.0", "EQUINOX": 2000.0, "SITELAT": "32 46 49",
            "SITELONG": "-105 49 13", "ST": "13 12 22.77", "ALT-OBS": 2788.0, "EGAIN": 1.5,
            "RDNOISE": 8.0, "SATURATE": 60000, "BITPIX": 16, "BZERO": 32768.0, "XBINNING": 1,
            "YBINNING": 1, "INSTRUME": "dcam", "TELESCOP": "0.5-m", "CCD-TEMP": -25.0,
            "XPIXSZ": 13.0, "FOCALLEN": 4014.0, "APTDIA": 508.0, "AIRMASS": 1.2,
        },
        name="LPSEB35_g.fits",
        shape=(1024, 2048),
    )  # fmt: skip
    assert header == FrameHeader(
        kind=FrameKind.LIGHT, flat_kind=None, exposure_s=30.0, filter_name="g",
        utc_start=datetime(2025, 5, 30, 3, 44, 0, 190000), utc_precision_s=0.001,
        object_name="LPSEB35", ra_deg=pytest.approx(240.1833333333), dec_deg=43.145,
        latitude_deg=pytest.approx(32.78027777777), longitude_deg=pytest.approx(-105.8202777777),
        altitude_m=2788.0, gain_e_per_adu=1.5, read_noise_e=8.0, saturation_adu=60000.0,
        ceiling_adu=65535.0, pixel_scale_arcsec=pytest.approx(0.66802, abs=1e-5),
        aperture_diameter_m=0.508, width=2048, height=1024, binning_x=1, binning_y=1,
        instrument_name="dcam", telescope_name="0.5-m", ccd_temperature_c=-25.0, wcs_cards=None,
        stated={"airmass": 1.2},
        notes=(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("cards", "comments", "ra_deg"),
    [
        ({"RA": 31.312099, "DEC": 46.77}, {}, 31.312099),
        ({"RA": "16 00 44.00", "DEC": "+43 08 42.0"}, {}, 240.1833333333),
        ({"RA": "16.0122222", "DEC": "43"}, {"RA": "[hours] of target"}, 240.183333),
        ({"RA": "16.0122222", "DEC": "43"}, {"RA": "[deg]"}, 16.0122222),
        ({"RA": "240:11:00", "DEC": "43:00:00"}, {"RA": "degrees"}, 240.1833333333),
        ({"OBJCTRA": "16 00 44", "OBJCTDEC": "+43 08 42"}, {}, 240.1833333333),
        ({"RA": -10.0, "DEC": 1.0}, {}, 350.0),
        ({"RA": "unknown", "DEC": "?", "TELRA": 10.0, "TELDEC": -5.0}, {}, 10.0),
    ],
)
def test_pointing_in_many_spellings(cards, comments, ra_deg):
    assert read(comments=comments, **cards).ra_deg == pytest.approx(ra_deg, abs=1e-6)


def test_pointing_of_another_equinox_is_precessed():
    # Meeus, example 21.b gives alpha UMi near the pole; here the bright star Regulus, FK5:
    # J2000 152.0930 +11.9672 is 152.4318 +11.8417 in 2025.5 (precession 46.1″ and −17.7″ a year).
    header = read(RA=152.4318, DEC=11.8417, EQUINOX=2025.5)
    assert header.ra_deg == pytest.approx(152.0930, abs=0.02)
    assert header.dec_deg == pytest.approx(11.9672, abs=0.02)
    assert "precessed from equinox 2025.5" in " ".join(header.notes)


@pytest.mark.parametrize("cards", [{"RA": 0.0, "DEC": 0.0}, {"RA": 400, "DEC": 1}, {"RA": 3.0}])
def test_a_position_that_is_none(cards):
    header = read(**cards)
    assert (header.ra_deg, header.dec_deg) == (None, None)


@pytest.mark.parametrize(
    ("cards", "gain"),
    [
        ({"GAIN": 1.5}, 1.5), ({"EGAIN": 0.25, "GAIN": 120}, 0.25), ({"GAIN": 100}, None),
        ({"GAIN": 1200}, None), ({"GAIN": 0}, None), ({"GAIN": 30, "OFFSET": 10}, None),
        ({"GAIN": "high"}, None), ({}, None),
    ],
)  # fmt: skip
def test_a_gain_that_is_a_setting_is_not_believed(cards, gain):
    assert read(**cards).gain_e_per_adu == gain


def test_a_gain_in_other_units_is_not_believed():
    header = read(comments={"GAIN": "[ADU/e-] inverse gain"}, GAIN=2.0)
    assert header.gain_e_per_adu is None
    assert "not in e/ADU by its comment" in " ".join(header.notes)


@pytest.mark.parametrize(
    ("cards", "saturation", "ceiling"),
    [
        ({"BITPIX": 16, "BZERO": 32768, "SATURATE": 60000}, 60000.0, 65535.0),
        ({"BITPIX": 16, "BZERO": 32768, "SATURATE": 70000}, 65535.0, 65535.0),
        ({"BITPIX": 16, "SATURATE": 0}, None, 32767.0),
        ({"BITPIX": -32}, None, None),
        ({"BITPIX": 8}, None, 255.0),
    ],
)
def test_saturation_and_ceiling(cards, saturation, ceiling):
    header = read(**cards)
    assert (header.saturation_adu, header.ceiling_adu) == (saturation, ceiling)


@pytest.mark.parametrize(
    ("cards", "comments", "celsius"),
    [
        ({"CCD__TEMP": -25.05}, {}, -25.05),
        ({"CAMTEMP": 270.0}, {"CAMTEMP": "CCD Camera Temperature in Kelvin"}, -3.15),
        ({"CAMTEMP": -1}, {"CAMTEMP": "in Kelvin, =-1 if no data"}, None),
    ],
)
def test_temperature(cards, comments, celsius):
    assert read(comments=comments, **cards).ccd_temperature_c == celsius


@pytest.mark.parametrize(
    ("cards", "binning"),
    [
        ({}, (1, 1)), ({"XBINNING": 2}, (2, 2)), ({"CCDSUM": "2 4"}, (2, 4)),
        ({"BINNING": "3x3"}, (3, 3)), ({"CCDSUM": "0 0"}, (1, 1)),
    ],
)  # fmt: skip
def test_binning(cards, binning):
    header = read(**cards)
    assert (header.binning_x, header.binning_y) == binning


def test_biases_and_darks_have_no_filter():
    assert read(IMAGETYP="DARK", FILTER="g").filter_name is None
    assert read(IMAGETYP="FLAT", FILTER="g").filter_name == "g"
    assert read(FILTER=2).filter_name == "2"


@pytest.mark.parametrize("kind", ["LIGHT", "DARK"])
def test_no_exposure_is_refused_where_it_counts(kind):
    with pytest.raises(HeaderError, match=r"x\.fits: no exposure .* add EXPTIME"):
        interpret_header({"IMAGETYP": kind}, name="x.fits", shape=(10, 10))


@pytest.mark.parametrize("kind", ["BIAS", "FLAT"])
def test_no_exposure_is_noted_where_it_does_not(kind):
    header = interpret_header({"IMAGETYP": kind}, name="x.fits", shape=(10, 10))
    assert header.exposure_s == 0.0
    assert "no keyword states the exposure" in " ".join(header.notes)


@pytest.mark.parametrize("exposure", [-1.0, 1e9])
def test_an_impossible_exposure_is_refused(exposure):
    with pytest.raises(HeaderError, match="is no exposure in seconds"):
        interpret_header({"EXPTIME": exposure}, name="x.fits", shape=(10, 10))


def test_an_exposure_from_its_two_ends():
    cards = {"DATE-OBS": "2017-12-19T21:15:12-0700", "DATE-END": "2017-12-20T04:16:14Z"}
    assert interpret_header(cards, name="x.fits", shape=(10, 10)).exposure_s == 62.0


def test_the_error_is_permanent():
    assert issubclass(HeaderError, UnusableDataError)
    assert issubclass(HeaderError, PermanentError)


WCS = {
    "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 240.18, "CRVAL2": 43.14,
    "CRPIX1": 512.0, "CRPIX2": 512.0, "CD1_1": -1.86e-4, "CD1_2": 0.0, "CD2_1": 0.0,
    "CD2_2": -1.86e-4, "EQUINOX": 2000.0,
}  # fmt: skip


def test_a_plausible_wcs_is_kept_and_gives_the_scale():
    header = read(**WCS, FOCALLEN=4014.0, XPIXSZ=13.0)
    assert header.wcs_cards == WCS
    assert header.pixel_scale_arcsec == pytest.approx(0.6696)


def test_rotation_by_crota_is_a_matrix_too():
    cards = {key: value for key, value in WCS.items() if not key.startswith("CD")}
    header = read(**cards, CDELT1=-1e-3, CDELT2=1e-3, CROTA2=30.0)
    assert header.pixel_scale_arcsec == pytest.approx(3.6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"CTYPE1": "LINEAR"}, "its axes are LINEAR"),
        ({"CRVAL1": "none"}, "CRVAL1 missing"),
        ({"CD1_1": 1.0, "CD2_2": 1.0}, "its scale is 3600″"),
        ({"CD1_1": 0.0}, "its scale is 0″"),
        ({"CD1_1": -4e-4}, "not square"),
        ({"CD1_2": 1.86e-4, "CD2_1": 1.86e-4}, "not perpendicular"),
        ({"PLTSOLVD": False}, "not solved"),
    ],
)
def test_a_wcs_that_makes_no_sense_is_refused_in_words(change, reason):
    header = read(**(WCS | change))
    assert header.wcs_cards is None
    assert reason in " ".join(header.notes)


def test_a_wcs_far_from_the_pointing_is_noted():
    assert "7.3° from the pointing" in " ".join(read(**WCS, RA=230.18, DEC=43.14).notes)


@pytest.mark.parametrize("shape", [(10,), (0, 10), (1, 2, 3)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(HeaderError, match="an image of shape"):
        interpret_header({"EXPTIME": 1.0}, name="x.fits", shape=shape)


KEYWORDS = sorted({
    "IMAGETYP", "OBJECT", "EXPTIME", "EXPOSURE", "DATE-OBS", "DATE-END", "DATE", "TIME-OBS", "UT",
    "UT-OBS", "JD", "MJD-OBS", "TIMESYS", "RA", "DEC", "OBJCTRA", "OBJCTDEC", "EQUINOX", "RADESYS",
    "LATITUDE", "LONGITUD", "SITELAT", "SITELONG", "OBSGEO-X", "OBSGEO-Y", "OBSGEO-Z", "LST", "HA",
    "TELALT", "TELAZ", "GAIN", "EGAIN", "RDNOISE", "SATURATE", "BITPIX", "BZERO", "BSCALE",
    "CCD-TEMP", "XBINNING", "CCDSUM", "XPIXSZ", "FOCALLEN", "SCALE", "APTDIA", "CTYPE1", "CTYPE2",
    "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "CROTA2", "FILTER",
})  # fmt: skip
TEXTS = st.sampled_from([
    "2017-12-19T21:15:12.925-0700", "2017-12-31T23:59:60", "30/05/25", "24:00:00", "16 00 44",
    "-00 00 00", "TAI", "TT", "LOCAL", "FK4", "RA---TAN", "DEC--TAN", "flat", "zero", "W110 52",
    "2 2", "0 0", "58107.177", "2460825.5", "1e400", "٣", "\x00", "", "J2000",
])  # fmt: skip
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12),
    st.binary(max_size=4), TEXTS, st.floats(-400, 400), st.floats(1850.0, 2100.0),
    st.just(10**400), st.just(6.37e6),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    cards=st.dictionaries(st.sampled_from(KEYWORDS) | st.text(max_size=8), VALUES, max_size=25),
    comments=st.dictionaries(st.sampled_from(KEYWORDS), TEXTS | st.text(max_size=20), max_size=5),
    name=st.text(max_size=20),
)
def test_no_header_raises_anything_but_its_own_error(cards, comments, name):
    try:
        header = interpret_header(cards, name=name, shape=(5, 7), comments=comments)
    except HeaderError:
        return
    assert header.exposure_s >= 0.0
    assert (header.latitude_deg is None) == (header.longitude_deg is None)
    assert (header.ra_deg is None) == (header.dec_deg is None)
    assert header.longitude_deg is None or -180.0 < header.longitude_deg <= 180.0
    assert header.ra_deg is None or 0.0 <= header.ra_deg < 360.0
    assert header.utc_start is None or header.utc_start.tzinfo is None
    assert dataclasses.replace(header) == header
