"""Headers of simulated frames are true to the frames; times and places are right."""

from dataclasses import replace

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.utils import iers
from astropy.wcs import WCS

from tianyu.pipelines.simulation import (
    NightPlan,
    build_scene,
    night_frames,
    simulate,
    simulate_frame,
)
from tianyu.pipelines.simulation.ephemeris import offline

PLAN = NightPlan.small()


def header_of(frame):
    header = fits.Header()
    header.extend(frame.header)
    return header


# --- headers -------------------------------------------------------------------------------


def test_header_of_a_light_says_what_a_pipeline_needs():
    header = header_of(simulate_frame(PLAN, 1))
    assert header["DATE-OBS"] == "2025-03-17T03:00:00.000"
    assert (header["IMAGETYP"], header["FILTER"], header["EXPTIME"]) == ("LIGHT", "r", 60.0)
    assert (header["GAIN"], header["RDNOISE"], header["SATURATE"]) == (1.5, 8.0, 60000)
    assert (header["SITELAT"], header["SITELONG"], header["ALT-OBS"]) == (31.96, -111.6, 2096.0)
    assert header["APTDIA"] == 500.0


def test_sidereal_time_shows_that_east_is_positive():
    header = header_of(simulate_frame(PLAN, 0))
    days = Time(header["DATE-OBS"], scale="utc").jd - 2451545.0
    # Greenwich mean sidereal time in degrees, Meeus (12.4), plus the east longitude.
    expected = (280.46061837 + 360.98564736629 * days + header["SITELONG"]) % 360.0
    hours, minutes, seconds = map(float, header["LST-OBS"].split(":"))
    # UT1 − UTC is left out on both sides; the header has tenths of a second.
    assert 15.0 * (hours + minutes / 60 + seconds / 3600) == pytest.approx(expected, abs=0.002)


@pytest.mark.parametrize("index", [0, 5, 11])
def test_wcs_leads_from_every_star_to_its_pixel(index):
    frame = simulate_frame(PLAN, index)
    stars = build_scene(PLAN).stars
    x, y = WCS(header_of(frame)).all_world2pix(stars.ra_deg, stars.dec_deg, 0)
    np.testing.assert_allclose(x, frame.truth.x, atol=1e-6)
    np.testing.assert_allclose(y, frame.truth.y, atol=1e-6)


def test_sky_is_the_right_way_round():
    wcs = WCS(header_of(simulate_frame(PLAN, 0)))
    assert np.linalg.det(wcs.pixel_scale_matrix) < 0  # east is left when north is up
    assert wcs.proj_plane_pixel_scales()[0].to_value(u.arcsec) == pytest.approx(0.6, rel=1e-6)
    _, dec = wcs.all_pix2world([127.5, 127.5], [127.5, 137.5], 0)
    assert dec[1] - dec[0] == pytest.approx(10 * 0.6 / 3600 * np.cos(np.radians(1.2)), rel=1e-3)


def test_wcs_can_be_left_out():
    header = header_of(simulate_frame(replace(PLAN, with_wcs=False), 0))
    assert not any(key.startswith(("CRVAL", "CD1", "CTYPE")) for key in header)


def test_calibration_frames_precede_the_lights_in_time():
    starts = [
        header_of(simulate(PLAN, kind, index))["DATE-OBS"] for kind, index in night_frames(PLAN)
    ]
    assert starts == sorted(set(starts))


# --- times ---------------------------------------------------------------------------------


def test_mid_exposure_is_half_an_exposure_after_the_start():
    frame = simulate_frame(PLAN, 4)
    start = Time(header_of(frame)["DATE-OBS"], scale="utc").jd
    # A double of this size resolves 40 µs.
    assert (frame.truth.conditions.jd_utc_mid - start) * 86400 == pytest.approx(30.0, abs=1e-4)


def test_barycentric_times_are_astropys_with_the_real_earth():
    frame = simulate_frame(PLAN, 4).truth.conditions
    site, field = PLAN.site, PLAN.field
    place = EarthLocation.from_geodetic(
        site.longitude_deg * u.deg, site.latitude_deg * u.deg, site.altitude_m * u.m
    )
    utc = Time(frame.jd_utc_mid, format="jd", scale="utc", location=place)
    direction = SkyCoord(field.ra_deg * u.deg, field.dec_deg * u.deg)
    expected = (utc.tdb + utc.light_travel_time(direction, ephemeris="builtin")).jd
    assert (frame.bjd_tdb_mid - expected) * 86400 == pytest.approx(0.0, abs=1e-3)


def test_offline_leaves_astropy_as_it_was():
    before = iers.earth_orientation_table._value
    with offline():
        assert iers.earth_orientation_table._value is not before
    assert iers.earth_orientation_table._value is before


def test_a_field_below_the_horizon_is_refused():
    with pytest.raises(ValueError, match="choose another start_utc"):
        simulate_frame(replace(PLAN, start_utc="2025-09-17T04:00:00.000"), 0)
