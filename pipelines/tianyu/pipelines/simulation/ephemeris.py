"""Times, barycentric corrections and airmass of a simulated night, without any download.

Written apart from the pipeline's own times on purpose: the truth must not share its slips.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time, TimeDelta
from astropy.utils import iers

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.simulation.plan import NightPlan, Site

LOWEST_ALTITUDE_DEG = 10.0
"""Nobody does photometry through more than five airmasses."""


@contextmanager
def offline() -> Iterator[None]:
    """Let the Earth turn with UTC, without polar motion: no table to read or to outlive.

    UT1 is within 0.9 s of UTC, which is 0.9 s of sidereal time and 1.4 µs of light time.
    """
    zero = np.zeros(2)
    table = iers.IERS(
        {
            "MJD": np.array([0.0, 200000.0]) * u.day,
            "UT1_UTC": zero * u.s,
            **dict.fromkeys(("PM_x", "PM_y", "dX_2000A", "dY_2000A"), zero * u.arcsec),
        }
    )
    with iers.earth_orientation_table.set(table):
        yield


def location(site: Site) -> EarthLocation:
    """Return the site as astropy's location."""
    return EarthLocation.from_geodetic(
        site.longitude_deg * u.deg, site.latitude_deg * u.deg, site.altitude_m * u.m
    )


def utc_after_start(plan: NightPlan, seconds: float | FloatArray) -> Time:
    """Return UTC times at the site, ``seconds`` after the start of the first light."""
    start = Time(
        plan.start_utc, format="isot", scale="utc", precision=3, location=location(plan.site)
    )
    return start + TimeDelta(np.asarray(seconds) * u.s)


def mid_exposures(plan: NightPlan) -> Time:
    """Return the middles of the lights' exposures, shape ``(n_light,)``."""
    begin = plan.cadence_s * np.arange(plan.n_light, dtype=np.float64)
    return utc_after_start(plan, begin + plan.exposure_s / 2.0)


def bjd_tdb(utc: Time, ra_deg: float, dec_deg: float) -> FloatArray:
    """Barycentric Julian dates in TDB of events seen at the site at ``utc``.

    Parameters
    ----------
    utc : astropy.time.Time
        Times with a location, shape ``(n,)`` or scalar.
    ra_deg, dec_deg : float
        Direction, ICRS (degrees).

    Returns
    -------
    ndarray of float64
        BJD_TDB, days, same shape.

    References
    ----------
    Eastman, Siverd & Gaudi 2010, PASP 122, 935.
    """
    direction = SkyCoord(ra_deg * u.deg, dec_deg * u.deg)
    with offline():
        delay = utc.light_travel_time(direction, kind="barycentric", ephemeris="builtin")
        return np.asarray((utc.tdb + delay).jd, dtype=np.float64)


def airmass(utc: Time, plan: NightPlan) -> FloatArray:
    """Airmass of the field's centre, by the formula of Kasten & Young (1989).

    Raises
    ------
    ValueError
        If the field is lower than `LOWEST_ALTITUDE_DEG` at any of the times.
    """
    direction = SkyCoord(plan.field.ra_deg * u.deg, plan.field.dec_deg * u.deg)
    with offline():
        horizontal = direction.transform_to(AltAz(obstime=utc, location=utc.location))
    altitude = np.asarray(horizontal.alt.deg, dtype=np.float64)
    if altitude.size and altitude.min() < LOWEST_ALTITUDE_DEG:
        raise ValueError(
            f"the field sinks to an altitude of {altitude.min():.1f}° (least: "
            f"{LOWEST_ALTITUDE_DEG}°); choose another start_utc or field centre"
        )
    sine = np.sin(np.radians(altitude))
    return np.asarray(1.0 / (sine + 0.50572 * (altitude + 6.07995) ** -1.6364), dtype=np.float64)


def sidereal_time(utc: Time) -> str:
    """Local mean sidereal time at the location of ``utc``, as ``HH:MM:SS.s``."""
    with offline():
        angle = utc.sidereal_time("mean")
    return str(angle.to_string(unit=u.hourangle, sep=":", precision=1, pad=True))
