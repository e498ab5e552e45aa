"""Every header of two real nights, with the times, sites and kinds that are known of them."""

import os
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tianyu.pipelines.fits import (
    FlatKind,
    FrameHeader,
    FrameKind,
    image_shape,
    is_fits_name,
    read_header,
    read_pixels,
)

BESIDE = Path(__file__).resolve().parents[2].parent / "shared/data"
DATA = Path(os.environ.get("TIANYU_TEST_DATA", BESIDE))

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"the real frames are not in {DATA}"),
]


def frames(folder: str) -> list[Path]:
    return sorted(path for path in (DATA / folder).iterdir() if is_fits_name(path))


@pytest.fixture(scope="module")
def hatp32() -> dict[str, FrameHeader]:
    return {path.name: read_header(path) for path in frames("hatp32")}


@pytest.fixture(scope="module")
def lpseb35() -> dict[str, FrameHeader]:
    return {path.name: read_header(path) for path in frames("lpseb35")}


def raw_card(folder: str, name: str, keyword: str) -> object:
    return fits.getheader(DATA / folder / name, 1)[keyword]


def test_every_frame_of_the_transit_reads(hatp32):
    assert len(hatp32) == 142
    for name, header in hatp32.items():
        assert header.kind is FrameKind.LIGHT
        assert (header.width, header.height) == (650, 500)
        assert (header.exposure_s, header.filter_name) == (60.0, "Clear")
        assert (header.latitude_deg, header.longitude_deg) == (31.68, -110.88)
        assert (header.ra_deg, header.dec_deg) == (31.312099, 46.769087)
        assert header.pixel_scale_arcsec == 5.21
        kelvin = raw_card("hatp32", name, "CAMTEMP")
        assert header.ccd_temperature_c == pytest.approx(kelvin - 273.15)
        assert (header.ceiling_adu, header.saturation_adu) == (32767.0, None)
        assert header.gain_e_per_adu is None
        assert header.wcs_cards is None


def test_times_of_the_transit_are_those_of_ut_obs(hatp32):
    for name, header in hatp32.items():
        text = str(raw_card("hatp32", name, "UT-OBS"))
        assert header.utc_start == datetime.fromisoformat(text.removesuffix("-0000")), name
        assert header.utc_precision_s == 0.001


def test_notes_of_the_transit_say_what_was_assumed(hatp32):
    for header in hatp32.values():
        assert len(header.notes) == 3
        kind, sign, sidereal = header.notes
        assert "taken as light" in kind
        assert sign.startswith("LONGITUD = 110.88 counts to the west, by the zone of DATE-OBS")
        assert "TELALT/TELAZ" in sign
        assert sidereal.startswith("LST-OBS implies a longitude of 143.8°")


def test_every_frame_of_the_binary_reads(lpseb35):
    kinds = [header.kind for header in lpseb35.values()]
    assert [kinds.count(kind) for kind in FrameKind] == [7, 5, 3, 60]
    for header in lpseb35.values():
        assert (header.width, header.height) == (1024, 1024)
        assert header.latitude_deg == pytest.approx(32.780278, abs=1e-6)
        assert header.longitude_deg == pytest.approx(-105.820278, abs=1e-6)
        assert header.ceiling_adu == 65535.0
        assert header.aperture_diameter_m == 0.508
        assert header.notes == ()


def test_kinds_follow_from_imagetyp_and_flats_from_the_name(lpseb35):
    for name, header in lpseb35.items():
        assert header.kind == raw_card("lpseb35", name, "IMAGETYP").lower()
        is_flat = header.kind is FrameKind.FLAT
        assert header.flat_kind is (FlatKind.DOME if is_flat else None)
        sees_light = header.kind in {FrameKind.FLAT, FrameKind.LIGHT}
        assert header.filter_name == ("g" if sees_light else None)


def test_times_of_the_binary_are_those_of_date_obs(lpseb35):
    for name, header in lpseb35.items():
        stated = datetime.fromisoformat(raw_card("lpseb35", name, "DATE-OBS"))
        assert abs(header.utc_start - stated) < timedelta(milliseconds=1)
        assert header.utc_precision_s <= 0.01
        julian = float(raw_card("lpseb35", name, "JD"))
        start = datetime(2000, 1, 1, 12) + timedelta(days=julian - 2451545.0)
        assert abs(header.utc_start - start) < timedelta(milliseconds=3)


def test_lights_of_the_binary(lpseb35):
    lights = [header for header in lpseb35.values() if header.kind is FrameKind.LIGHT]
    assert sum(header.wcs_cards is not None for header in lights) == 47
    for header in lights:
        assert header.exposure_s == 30.0
        assert header.object_name == "LPSEB35"
        assert header.ra_deg == pytest.approx(240.1833333, abs=1e-6)
        assert header.dec_deg == pytest.approx(43.145, abs=1e-9)
        assert header.altitude_m == 2788.0
        assert header.pixel_scale_arcsec == pytest.approx(0.67, abs=0.005)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("hatp32", "HATP-32171220041512.FITS.fz"),
        ("lpseb35", "Bias_BIN1_20250530_020505.fits.fz"),
        ("lpseb35", "LPSEB35_g_20250530_034359.fits.fz"),
    ],
)
def test_pixels_are_those_of_astropy(folder, name):
    expected = fits.getdata(DATA / folder / name, 1)
    pixels = read_pixels(DATA / folder / name)
    assert pixels.dtype == expected.dtype
    assert pixels.shape == image_shape(DATA / folder / name)
    np.testing.assert_array_equal(pixels, expected)
