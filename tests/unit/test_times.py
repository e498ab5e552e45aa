"""Times of frames: hand-checked geometry, astropy per source, and what is not known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.times import FrameTimes, frame_times
from tianyu.pipelines.science.wcs import sky_coordinates

SECOND = 1.0 / 86400.0
SITE = {"latitude_deg": 31.68, "longitude_deg": -110.88, "altitude_m": 2000.0}
FIELD = {"ra_deg": 31.04, "dec_deg": 46.69}
NIGHT = [datetime(2017, 12, 20, 1, 30) + timedelta(hours=hour) for hour in range(6)]


def times_of(start=NIGHT, exposure_s=60.0, **changes) -> FrameTimes:
    return frame_times(start, np.asarray(exposure_s), **{**SITE, **FIELD, **changes})


def astropy_bjd(times: FrameTimes, ra_deg, dec_deg):
    location = EarthLocation.from_geodetic(-110.88, 31.68, 2000.0)
    with iers.conf.set_temp("auto_download", False):
        utc = Time(times.utc_mid, scale="utc", location=location)
        travel = utc.light_travel_time(SkyCoord(ra_deg, dec_deg, unit="deg"), ephemeris="builtin")
        return (utc.tdb + travel).jd


def test_mid_exposure_is_the_start_plus_half_the_exposure():
    times = times_of([datetime(2024, 2, 29, 23, 59, 50, 123456)], 30.5)
    assert times.utc_mid[0] == np.datetime64("2024-03-01T00:00:05.373456")
    assert times.utc_mid[0].item() == datetime(2024, 3, 1, 0, 0, 5, 373456)


def test_the_julian_date_of_noon_of_the_epoch():
    assert times_of([datetime(2000, 1, 1, 12)], 0.0).jd_utc_mid[0] == 2451545.0


def test_opposite_the_sun_light_arrives_a_year_radius_early():
    """Near perihelion (2018-01-03) the Earth is 0.98329 au from the Sun, 490.7 s of light.

    The Sun stands at RA 283.4°, Dec −22.9°; from the opposite point the light passes the Earth
    first and has the whole radius to go, within the Sun's own 4 s about the barycentre.
    """
    times = times_of([datetime(2018, 1, 3, 6)], 0.0, ra_deg=103.4, dec_deg=22.9)
    tdb_minus_utc = 32.184 + 37.0
    travel_s = (times.bjd_tdb_mid - times.jd_utc_mid)[0] / SECOND - tdb_minus_utc
    assert travel_s == pytest.approx(490.7, abs=4.5)


def test_towards_the_ecliptic_pole_light_arrives_on_time():
    times = times_of([datetime(2018, 1, 3, 6)], 0.0, ra_deg=270.0, dec_deg=66.5607)
    travel_s = (times.bjd_tdb_mid - times.jd_utc_mid)[0] / SECOND - 69.184
    assert abs(travel_s) < 0.5


def test_bjd_agrees_with_astropy_at_the_centre():
    times = times_of()
    np.testing.assert_allclose(
        times.bjd_tdb_mid, astropy_bjd(times, **{k: FIELD[k] for k in FIELD}), atol=1e-4 * SECOND
    )


@pytest.mark.parametrize(("xi", "eta"), [(0.5, 0.0), (0.0, -0.5), (0.5, 0.5), (-0.7, 0.7), (1, 0)])
def test_two_gradients_serve_every_source_within_a_degree(xi, eta):
    times = times_of()
    ra, dec = sky_coordinates(
        np.array([xi]),
        np.array([eta]),
        centre_ra_deg=FIELD["ra_deg"],
        centre_dec_deg=FIELD["dec_deg"],
    )
    error = times.bjd_tdb_at(np.array([xi]), np.array([eta]))[0] - astropy_bjd(times, ra[0], dec[0])
    assert np.abs(error).max() < 0.05 * SECOND


def test_the_gradients_matter():
    """Seconds per degree: without them a corner of a one-degree field would be off by far more."""
    times = times_of()
    slope = np.hypot(times.dbjd_dxi_day_per_deg, times.dbjd_deta_day_per_deg) / SECOND
    assert (slope > 3.0).all()
    assert (slope < 9.0).all()


def test_the_site_matters_by_less_than_the_earths_radius():
    here, there = times_of(), times_of(longitude_deg=69.12)
    difference_s = (here.bjd_tdb_mid - there.bjd_tdb_mid) / SECOND
    assert np.abs(difference_s).max() < 2 * 0.0213
    assert np.abs(difference_s).max() > 0.001


def test_longitudes_go_round_and_an_unknown_altitude_is_sea_level():
    np.testing.assert_array_equal(
        times_of(longitude_deg=-110.88).airmass.round(9),
        times_of(longitude_deg=249.12).airmass.round(9),
    )
    sea = times_of(altitude_m=None)
    np.testing.assert_allclose(sea.bjd_tdb_mid, times_of().bjd_tdb_mid, atol=1e-4 * SECOND)


@pytest.mark.parametrize("unknown", ["latitude_deg", "longitude_deg", "ra_deg", "dec_deg"])
def test_without_the_site_or_the_direction_no_barycentric_time_is_made_up(unknown):
    times = times_of(**{unknown: None})
    assert np.isfinite(times.jd_utc_mid).all()
    for column in ("bjd_tdb_mid", "dbjd_dxi_day_per_deg", "dbjd_deta_day_per_deg", "airmass"):
        assert np.isnan(getattr(times, column)).all()
    assert np.isnan(times.bjd_tdb_at(np.array([0.1]), np.array([0.1]))).all()


def test_a_frame_without_a_time_does_not_hurt_the_others():
    times = times_of([NIGHT[0], None, NIGHT[2]])
    assert np.isnat(times.utc_mid).tolist() == [False, True, False]
    assert np.isnan(times.bjd_tdb_mid).tolist() == [False, True, False]
    assert times.bjd_tdb_mid[2] == times_of([NIGHT[2]]).bjd_tdb_mid[0]


def test_no_frames_have_no_times():
    assert times_of([], np.empty(0)).bjd_tdb_mid.shape == (0,)


def test_exposures_may_differ_from_frame_to_frame():
    times = times_of([NIGHT[0]] * 2, np.array([10.0, 30.0]))
    assert (times.jd_utc_mid[1] - times.jd_utc_mid[0]) / SECOND == pytest.approx(10.0, abs=1e-4)


def test_airmass_at_the_zenith_and_at_thirty_degrees():
    """Polaris-like: at the pole the altitude is the latitude, 30°, where Young gives 1.994."""
    low = times_of(latitude_deg=30.0, ra_deg=0.0, dec_deg=90.0)
    np.testing.assert_allclose(low.airmass, 1.994, atol=0.006)
    high = times_of(latitude_deg=89.999, ra_deg=0.0, dec_deg=89.9)
    np.testing.assert_allclose(high.airmass, 1.0, atol=1e-4)


def test_airmass_below_the_horizon_is_not_a_number():
    assert np.isnan(times_of(dec_deg=-85.0).airmass).all()


@pytest.mark.parametrize("year", [1965, 2035, 2150])
def test_dates_outside_the_bundled_tables_work_without_network_or_warning(year):
    times = times_of([datetime(year, 6, 1)])
    assert np.isfinite(times.bjd_tdb_mid).all()
    assert np.isfinite(times.jd_utc_mid).all()


@pytest.mark.parametrize(
    ("start", "exposure", "changes", "complaint"),
    [
        (datetime(2020, 1, 1, tzinfo=UTC), 1.0, {}, "zone"),
        (datetime(2020, 1, 1), -1.0, {}, "exposure"),
        (datetime(2020, 1, 1), np.nan, {}, "exposure"),
        (datetime(2020, 1, 1), 1.0, {"latitude_deg": 131.0}, "latitude_deg"),
        (datetime(2020, 1, 1), 1.0, {"longitude_deg": np.nan}, "longitude_deg"),
        (datetime(2020, 1, 1), 1.0, {"dec_deg": 91.0}, "dec_deg"),
    ],
)
def test_what_is_no_time_or_place_is_refused(start, exposure, changes, complaint):
    with pytest.raises(UnusableDataError, match=complaint):
        times_of([start], exposure, **changes)


def moon_on(when: datetime, **place: float) -> FrameTimes:
    return frame_times([when], np.array([0.0]), **{**SITE, **FIELD, **place})


@pytest.mark.parametrize(
    ("when", "lit"),
    [
        # Phases by the Astronomical Almanac: full moon 2017-12-03 15:47, new 2017-12-18 06:30,
        # first quarter 2017-12-26 09:20 UTC.
        (datetime(2017, 12, 3, 15, 47), 1.0),
        (datetime(2017, 12, 18, 6, 30), 0.0),
        (datetime(2017, 12, 26, 9, 20), 0.5),
    ],
)
def test_the_phase_of_the_moon(when: datetime, lit: float) -> None:
    # From the Earth's surface instead of its centre: up to a degree, at quarter 0.8 %.
    assert moon_on(when).moon_illumination[0] == pytest.approx(lit, abs=0.012)


def test_the_place_of_the_moon_in_a_textbook() -> None:
    """Meeus, example 47.a: 1992 April 12, 0h TD, apparent α = 134.688470°, δ = +13.768368°.

    From a site for which it then stands high; the parallax takes at most 0.4° off at 65° height.
    """
    when = datetime(1992, 4, 11, 23, 59, 1)
    times = moon_on(when, ra_deg=134.69, dec_deg=13.77, latitude_deg=13.8, longitude_deg=-66.0)
    assert times.moon_altitude_deg[0] > 60.0
    assert times.moon_distance_deg[0] < 0.6
    assert times.moon_illumination[0] == pytest.approx(0.6786, abs=0.01)


def test_heliocentric_time_by_erfa_alone() -> None:
    """HJD from ERFA's series for the Earth, without astropy's frames."""
    import erfa

    times = times_of()
    utc = Time(times.utc_mid, scale="utc")
    heliocentric, _ = erfa.epv00(utc.tdb.jd1, utc.tdb.jd2)
    ra, dec = np.radians([FIELD["ra_deg"], FIELD["dec_deg"]])
    towards = [np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)]
    travel_s = heliocentric["p"] @ towards * 499.004784
    expected = times.jd_utc_mid + travel_s * SECOND
    # The site's distance from the Earth's centre: 21 ms.
    assert np.abs(times.hjd_utc_mid - expected).max() < 0.03 * SECOND
    # The Sun moves about the barycentre by up to 4 s.
    difference_s = (times.bjd_tdb_mid - times.hjd_utc_mid) / SECOND - 69.184
    assert np.abs(difference_s).max() < 5.0


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_args: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert np.isfinite(moon_on(datetime(2035, 5, 1)).moon_distance_deg[0])
