"""Latitude and longitude, and the sky as witness to the sign of the longitude."""

from datetime import datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tianyu.pipelines.fits.angles import separation, wrap_180
from tianyu.pipelines.fits.cards import Cards
from tianyu.pipelines.fits.sidereal import greenwich_sidereal_deg, hour_angle_deg
from tianyu.pipelines.fits.site import Site, read_site

# Frame 041512 of a night on Mount Hopkins, Arizona; its longitude counts to the west.
UTC = datetime(2017, 12, 20, 4, 15, 12, 925000)
RA_DEG = 31.312099
ARIZONA = {"LATITUDE": 31.68, "LONGITUD": 110.88}


def site_of(header, *, utc=UTC, ra_deg=RA_DEG, **comments) -> Site:
    spelled = {key.replace("_", "-"): text for key, text in comments.items()}
    return read_site(Cards.of(header, spelled), utc, ra_deg)


def test_sidereal_time_at_a_published_moment():
    # Meeus, example 12.a: 1987 April 10, 0h UT is 13h10m46.3668s.
    expected = (13 + 10 / 60 + 46.3668 / 3600) * 15.0
    assert greenwich_sidereal_deg(datetime(1987, 4, 10)) == pytest.approx(expected, abs=1e-3)


def test_hour_angle_of_a_published_direction():
    # Meeus, example 13.b: Venus at azimuth 68.0337 west of south, altitude 15.1249.
    angle = hour_angle_deg(15.1249, 68.0337 + 180.0, 38.921389)
    assert angle == pytest.approx(64.352133, abs=1e-3)


@pytest.mark.parametrize(
    "witness",
    [
        {"HA": 10.549283},
        {"HA": "00:42:11.8"},
        {"OBJCTHA": 0.7032855},
        {"TELALT": 72.876, "TELAZ": 334.793},
        {"LST": "02:47:26"},
        {"DATE-OBS": "2017-12-19T21:15:12.925-0700"},
    ],
)
def test_each_witness_turns_a_west_longitude(witness):
    site = site_of(ARIZONA | witness)
    assert site.longitude_deg == -110.88
    assert "counts to the west, by" in site.notes[0]


@pytest.mark.parametrize("witness", [{"HA": 10.549283}, {"LST": "02:47:26"}])
def test_the_same_witness_confirms_an_east_positive_longitude(witness):
    site = site_of({"LATITUDE": 31.68, "LONGITUD": -110.88} | witness)
    assert (site.longitude_deg, site.notes) == (-110.88, ())


def test_a_nonsensical_witness_is_not_heard():
    site = site_of(ARIZONA | {"HA": 10.549283, "LST-OBS": "19:46:18"})
    assert site.longitude_deg == -110.88
    assert "LST-OBS implies a longitude of 143.8°" in site.notes[1]


def test_without_witness_east_is_assumed_and_said():
    site = site_of(ARIZONA)
    assert site.longitude_deg == 110.88
    assert site.notes == ("LONGITUD = 110.88° was taken as east-positive: nothing tells",)


@pytest.mark.parametrize(
    ("value", "comment", "longitude"),
    [
        (-105.82, "[deg +E WGS84] Geodetic longitude", -105.82),
        (105.82, "longitude, west positive", -105.82),
        (105.82, "degrees (+W)", -105.82),
        (-105.82, "negative west of Greenwich", -105.82),
        (254.18, "East positive", -105.82),
        ("105 49 12 W", "", -105.82),
        ("W105.82", "", -105.82),
        ("105 49 12 E", "", 105.82),
        ("105d49m12s", "+W", -105.82),
    ],
)
def test_words_of_value_and_comment(value, comment, longitude):
    site = site_of({"SITELAT": "32 46 49", "LONG-OBS": value}, LONG_OBS=comment)
    assert site.latitude_deg == pytest.approx(32.780277777, abs=1e-8)
    assert site.longitude_deg == pytest.approx(longitude, abs=1e-9)
    assert site.notes == ()


def test_a_comment_that_the_sky_contradicts_counts_and_is_noted():
    site = site_of(ARIZONA | {"HA": 10.549283}, LONGITUD="east positive")
    assert site.longitude_deg == 110.88
    assert "HA says otherwise" in site.notes[0]


def test_a_southern_letter():
    site = site_of({"LATITUDE": "29 15 S", "LONGITUD": "70 44 W"})
    assert (site.latitude_deg, site.longitude_deg) == (-29.25, pytest.approx(-70.7333333))


def test_contradicting_cards_are_noted():
    site = site_of({"LAT-OBS": 32.78, "LATITUDE": 31.0, "LONG-OBS": "105 W"})
    assert site.latitude_deg == 32.78
    assert site.notes == ("LATITUDE = 31° contradicts LAT-OBS = 32.78°, which was used",)


@pytest.mark.parametrize(
    "header", [{}, {"LATITUDE": 31.0}, {"LATITUDE": 99.0, "LONGITUD": 10.0},
               {"LATITUDE": "north", "LONGITUD": "east"}, {"LATITUDE": 0.0, "LONGITUD": 0.0}]
)  # fmt: skip
def test_half_a_site_is_none(header):
    site = site_of(header)
    assert (site.latitude_deg, site.longitude_deg) == (None, None)
    assert site.notes


def test_geocentric_coordinates():
    # Cerro Paranal: 24°37′38″ S, 70°24′15″ W, 2635 m.
    header = {"OBSGEO-X": 1946404.3, "OBSGEO-Y": -5467644.3, "OBSGEO-Z": -2642728.2}
    site = site_of(header)
    assert site.latitude_deg == pytest.approx(-24.627, abs=0.01)
    assert site.longitude_deg == pytest.approx(-70.404, abs=0.01)


def test_altitude_of_the_telescope_is_not_that_of_the_site():
    assert site_of({"ALTITUDE": 55.6376}).altitude_m is None
    assert site_of({"ALT-OBS": 2788.0, "ALTITUDE": 55.6}).altitude_m == 2788.0


@given(
    longitude=st.floats(-180.0, 180.0),
    offset_s=st.integers(0, 10**9),
    west_positive=st.booleans(),
    error_deg=st.floats(-2.0, 2.0),
)
def test_the_sign_is_found_wherever_it_matters(longitude, offset_s, west_positive, error_deg):
    """A sidereal time within 2° settles the sign of every longitude 8° from both meridians."""
    assume(8.0 < abs(longitude) < 172.0)
    utc = datetime(2000, 1, 1) + timedelta(seconds=offset_s)
    sidereal_h = (greenwich_sidereal_deg(utc) + longitude + error_deg) % 360.0 / 15.0
    hours, rest = divmod(round(sidereal_h * 3600), 3600)
    header = {
        "LATITUDE": 10.0,
        "LONGITUD": -longitude if west_positive else longitude,
        "LST": f"{hours:02d}:{rest // 60:02d}:{rest % 60:02d}",
    }
    site = read_site(Cards.of(header), utc, None)
    assert site.longitude_deg is not None
    assert separation(site.longitude_deg, wrap_180(longitude)) < 1e-9
