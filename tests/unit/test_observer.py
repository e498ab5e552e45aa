"""The observer's place, heights and the moon, held against astropy's coordinate frames."""

from datetime import datetime, timedelta

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_body
from astropy.time import Time
from astropy.utils import iers

from tianyu.pipelines.earthrotation import bundled_rotation
from tianyu.pipelines.science.observer import observer_at
from tianyu.pipelines.science.times import frame_times

PLACES = (
    {"latitude_deg": 31.68, "longitude_deg": -110.88, "altitude_m": 2000.0},
    {"latitude_deg": -70.2, "longitude_deg": 289.6, "altitude_m": 0.0},
    {"latitude_deg": 78.9, "longitude_deg": 11.9, "altitude_m": 4000.0},
)
STARTS = [datetime(1999, 12, 31, 23, 30) + timedelta(days=379.31 * k) for k in range(24)]


@pytest.fixture(scope="module", autouse=True)
def _offline():
    with iers.conf.set_temp("auto_download", False):
        yield


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("ra_deg", "dec_deg"), [(31.04, 46.69), (200.0, -61.0)])
def test_heights_and_moon_are_those_of_astropys_frames(place, ra_deg, dec_deg):
    """Within an arc second: nutation, polar motion and the moon's light time are that small."""
    times = frame_times(
        STARTS, np.zeros(24), ra_deg=ra_deg, dec_deg=dec_deg, rotation=bundled_rotation(), **place
    )
    site = EarthLocation.from_geodetic(
        place["longitude_deg"], place["latitude_deg"], place["altitude_m"]
    )
    at = Time(times.utc_mid, scale="utc")
    horizon = AltAz(obstime=at, location=site)
    centre = SkyCoord(ra_deg, dec_deg, unit="deg")
    moon = get_body("moon", at, location=site, ephemeris="builtin")
    arcsecond = 1.0 / 3600.0
    expected = moon.transform_to(horizon).alt.to_value(u.deg)
    np.testing.assert_allclose(times.moon_altitude_deg, expected, atol=arcsecond)
    expected = centre.transform_to(moon.frame).separation(moon).to_value(u.deg)
    np.testing.assert_allclose(times.moon_distance_deg, expected, atol=arcsecond)
    cos_z = np.sin(centre.transform_to(horizon).alt.rad)
    observer = observer_at((at.jd1, at.jd2), rotation=bundled_rotation(), **place)
    ra, dec = np.radians([ra_deg, dec_deg])
    towards = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    found = np.sin(observer.altitude_rad(observer.apparent(towards)))
    np.testing.assert_allclose(found, cos_z, atol=np.radians(arcsecond))
    assert (np.isnan(times.airmass) == (cos_z <= 0.0)).all()


@pytest.mark.parametrize("place", PLACES)
def test_the_place_among_the_planets_is_astropys_within_20_m(place):
    at = Time(STARTS, scale="utc")
    site = EarthLocation.from_geodetic(
        place["longitude_deg"], place["latitude_deg"], place["altitude_m"]
    )
    observer = observer_at((at.jd1, at.jd2), rotation=bundled_rotation(), **place)
    expected = site.get_gcrs_posvel(at)[0].xyz.to_value(u.au).T
    away_m = np.linalg.norm(observer.geocentric_au - expected, axis=1) * u.au.to(u.m)
    assert away_m.max() < 20.0
    tdb = Time(at, location=site).tdb
    difference_s = ((observer.tdb[0] - tdb.jd1) + (observer.tdb[1] - tdb.jd2)) * 86400.0
    assert np.abs(difference_s).max() < 1e-8


def test_times_do_not_depend_on_what_is_asked_together():
    together = frame_times(STARTS, np.zeros(24), ra_deg=10.0, dec_deg=20.0, **PLACES[0])
    for i in (0, 7, 23):
        alone = frame_times([STARTS[i]], np.zeros(1), ra_deg=10.0, dec_deg=20.0, **PLACES[0])
        for name, column in vars(alone).items():
            assert np.array_equal(column, getattr(together, name)[i : i + 1], equal_nan=True), name


@pytest.mark.filterwarnings("ignore::erfa.core.ErfaWarning")  # years without known leap seconds
def test_the_earths_rotation_is_that_of_astropys_table():
    mjd = np.array([50000.0, 51178.99, 51179.01, 57204.5, 60000.25])
    expected = iers.IERS_B.open().ut1_utc(mjd + 2400000.5).to_value(u.s)
    found = bundled_rotation().ut1_minus_utc_s(mjd + 2400000.5)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert bundled_rotation().ut1_minus_utc_s(np.array([2430000.0, 2490000.0])).tolist() == [0, 0]
