"""Times of frames: mid-exposure in UTC and, per source, in barycentric dynamical time.

Light from a star reaches the barycentre up to 8.3 min before or after it reaches the
telescope, and across one degree of sky this changes by up to 9 s. So a frame carries the
time at the field's centre and its two gradients; a source adds its standard coordinates.
A time that cannot be had is NaN: a light-travel time without the site or the direction is
never guessed.

Everything is computed from tables and series that come with astropy; nothing is downloaded.

References
----------
.. [1] J. Eastman, R. Siverd, B. S. Gaudi, 2010, PASP 122, 935 (BJD_TDB).
.. [2] A. T. Young, 1994, Applied Optics 33, 1108 (airmass from the true zenith angle).
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import erfa  # type: ignore[import-untyped]  # published without types
import numpy as np
from numpy.typing import NDArray

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.moon import moon_at
from tianyu.pipelines.science.observer import (
    AU_LIGHT_DAYS,
    EarthRotation,
    Observer,
    along,
    observer_at,
)


@dataclass(frozen=True)
class FrameTimes:
    """Times and airmasses of n frames at mid-exposure; NaN (NaT) where not known.

    Attributes
    ----------
    utc_mid : ndarray of datetime64[us]
        UTC, shape (n,).
    jd_utc_mid : FloatArray
        The same as Julian date (UTC), days.
    bjd_tdb_mid : FloatArray
        Barycentric Julian date (TDB) of light from the field's centre, days.
    dbjd_dxi_day_per_deg, dbjd_deta_day_per_deg : FloatArray
        Change of `bjd_tdb_mid` per degree of standard coordinate towards east and north.
    airmass : FloatArray
        Airmass of the field's centre; NaN below the horizon.
    hjd_utc_mid : FloatArray
        Heliocentric Julian date in UTC, as older ephemerides want it, days.
    moon_distance_deg, moon_altitude_deg : FloatArray
        Of the moon from the field's centre, and above the horizon without refraction, degrees.
    moon_illumination : FloatArray
        Lit fraction of its disc, 0 to 1.
    """

    utc_mid: NDArray[np.datetime64]
    jd_utc_mid: FloatArray
    bjd_tdb_mid: FloatArray
    dbjd_dxi_day_per_deg: FloatArray
    dbjd_deta_day_per_deg: FloatArray
    airmass: FloatArray
    hjd_utc_mid: FloatArray
    moon_distance_deg: FloatArray
    moon_altitude_deg: FloatArray
    moon_illumination: FloatArray

    def bjd_tdb_at(self, xi_deg: FloatArray, eta_deg: FloatArray) -> FloatArray:
        """Give the barycentric time of sources: centre plus two gradients.

        The neglected second order is at most 499 s · ρ²/2: 0.02 s at half a degree from the
        centre, 0.08 s at one.

        Parameters
        ----------
        xi_deg, eta_deg : FloatArray
            Standard coordinates of the sources about the field's centre, degrees, shape (m,).

        Returns
        -------
        FloatArray
            BJD_TDB at mid-exposure, days, shape (m, n).
        """
        east = np.multiply.outer(xi_deg, self.dbjd_dxi_day_per_deg)
        north = np.multiply.outer(eta_deg, self.dbjd_deta_day_per_deg)
        return np.asarray(self.bjd_tdb_mid + (east + north))


def frame_times(
    utc_start: Sequence[datetime | None],
    exposure_s: FloatArray,
    *,
    latitude_deg: float | None,
    longitude_deg: float | None,
    altitude_m: float | None,
    ra_deg: float | None,
    dec_deg: float | None,
    rotation: EarthRotation | None = None,
) -> FrameTimes:
    """Compute the times of mid-exposure, the airmass and the moon of many frames at once.

    Parameters
    ----------
    utc_start : sequence of datetime or None
        Naive UTC at the start of each exposure; None leaves that frame without times.
    exposure_s : FloatArray
        Exposure times, seconds, shape (n,) or a scalar.
    latitude_deg, longitude_deg : float or None
        Geodetic site, degrees, east positive. Without it only UTC is given.
    altitude_m : float or None
        Height of the site; None is taken as sea level, which costs at most 30 µs.
    ra_deg, dec_deg : float or None
        Centre of the field, ICRS degrees. Without it only UTC is given.
    rotation : EarthRotation, optional
        Without it UT1 is taken as UTC: 0.9 s at most of the sky's turn, 1.4 µs of light.

    Returns
    -------
    FrameTimes
        Arrays of shape (n,). Times after the last known leap second's table or far from now
        are computed with the newest known offset.

    Raises
    ------
    UnusableDataError
        If a time has a zone, an exposure is negative or not finite, or a place on the Earth
        or the sky is out of range.

    Examples
    --------
    >>> times = frame_times([datetime(2000, 1, 1, 11, 59, 30)], np.array([60.0]),
    ...     latitude_deg=None, longitude_deg=None, altitude_m=None, ra_deg=10.0, dec_deg=0.0)
    >>> float(times.jd_utc_mid[0]), float(times.bjd_tdb_mid[0])
    (2451545.0, nan)
    """
    utc_mid = _mid_exposure(utc_start, exposure_s)
    known = ~np.isnat(utc_mid)
    columns = np.full((9, utc_mid.size), np.nan)
    if known.any():
        with _future_allowed():
            jd_utc = _julian_date(utc_mid[known])
            columns[0, known] = jd_utc[0] + jd_utc[1]
            site = _site(latitude_deg, longitude_deg, altitude_m)
            axes = _axes_of_field(ra_deg, dec_deg)
            if site is not None and axes is not None:
                observer = observer_at(jd_utc, **site, rotation=rotation)
                columns[1:4, known] = _barycentric(observer, axes)
                columns[4, known] = _airmass(observer, axes[0])
                columns[5, known] = _heliocentric(jd_utc, observer, axes[0])
                columns[6:9, known] = moon_at(observer, axes[0])
    return FrameTimes(utc_mid, *columns)


def _mid_exposure(
    utc_start: Sequence[datetime | None], exposure_s: FloatArray
) -> NDArray[np.datetime64]:
    """Add half of each exposure to its start, in whole microseconds."""
    zoned = [start for start in utc_start if start is not None and start.tzinfo is not None]
    if zoned:
        raise UnusableDataError(f"the time {zoned[0]} has a zone; give naive UTC")
    starts = np.array(
        [np.datetime64("NaT") if start is None else start for start in utc_start],
        dtype="datetime64[us]",
    )
    exposures = np.broadcast_to(np.asarray(exposure_s, dtype=np.float64), starts.shape)
    unusable = ~(np.isfinite(exposures) & (exposures >= 0.0))
    if unusable.any():
        raise UnusableDataError(
            f"the exposure of {exposures[unusable][0]} s is not a time; zero or more is"
        )
    half_exposures = np.rint(exposures * 0.5e6).astype("timedelta64[us]")
    return np.asarray(starts + half_exposures)


@contextmanager
def _future_allowed() -> Iterator[None]:
    """Keep quiet about dates whose leap seconds are not known yet, and cannot be."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", erfa.ErfaWarning)
        yield


def _julian_date(utc: NDArray[np.datetime64]) -> tuple[FloatArray, FloatArray]:
    """Return whole days and the rest, from −0.5 to 0.5, of moments that are known.

    As of ERFA: a day with a leap second is longer, and its fractions count less.
    """
    day = utc.astype("datetime64[D]")
    month = utc.astype("datetime64[M]")
    microseconds = (utc - day).astype(np.int64)
    at_midnight, rest = erfa.dtf2d(
        "UTC",
        utc.astype("datetime64[Y]").astype(np.int64) + 1970,
        month.astype(np.int64) % 12 + 1,
        (day - month).astype(np.int64) + 1,
        microseconds // 3_600_000_000,
        microseconds // 60_000_000 % 60,
        microseconds % 60_000_000 / 1e6,
    )
    whole = np.round(at_midnight + rest)
    return whole, (at_midnight - whole) + rest


def _site(
    latitude_deg: float | None, longitude_deg: float | None, altitude_m: float | None
) -> dict[str, float] | None:
    """Return the place on the Earth, or None when it is not known."""
    if latitude_deg is None or longitude_deg is None:
        return None
    return {
        "latitude_deg": _within(latitude_deg, -90.0, 90.0, "latitude_deg"),
        "longitude_deg": _within(longitude_deg, -180.0, 360.0, "longitude_deg"),
        "altitude_m": _within(altitude_m or 0.0, -1000.0, 100_000.0, "altitude_m"),
    }


def _axes_of_field(ra_deg: float | None, dec_deg: float | None) -> FloatArray | None:
    """Return unit vectors to the field's centre, its east and its north; None if not known."""
    if ra_deg is None or dec_deg is None:
        return None
    ra = math.radians(_within(ra_deg, -360.0, 360.0, "ra_deg"))
    dec = math.radians(_within(dec_deg, -90.0, 90.0, "dec_deg"))
    towards_centre = (math.cos(dec) * math.cos(ra), math.cos(dec) * math.sin(ra), math.sin(dec))
    east = (-math.sin(ra), math.cos(ra), 0.0)
    north = (-math.sin(dec) * math.cos(ra), -math.sin(dec) * math.sin(ra), math.cos(dec))
    return np.array([towards_centre, east, north])


def _within(value: float, low: float, high: float, name: str) -> float:
    """Return the value, or say that it is out of range."""
    if not low <= value <= high:
        raise UnusableDataError(f"{name} is {value}; it must lie between {low:g} and {high:g}")
    return value


def _barycentric(observer: Observer, axes: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return BJD_TDB at the centre, and its gradients in days per degree east and north.

    The light-travel time is r·n/c; the derivatives of the direction n by the standard
    coordinates at the centre are the unit vectors to the east and to the north.
    """
    travel = [along(observer.barycentric_au, axis) * AU_LIGHT_DAYS for axis in axes]
    # The second part is small: added first, it keeps the digits that a Julian date has not.
    bjd = observer.tdb[0] + (observer.tdb[1] + travel[0])
    per_degree = math.radians(1.0)
    return bjd, travel[1] * per_degree, travel[2] * per_degree


def _heliocentric(
    jd_utc: tuple[FloatArray, FloatArray], observer: Observer, centre: FloatArray
) -> FloatArray:
    """Return the Julian date in UTC at which the light passes the sun."""
    travel = along(observer.heliocentric_au, centre) * AU_LIGHT_DAYS
    return np.asarray(jd_utc[0] + (jd_utc[1] + travel))


def _airmass(observer: Observer, centre: FloatArray) -> FloatArray:
    """Return the airmass by Young's formula, which takes the altitude without refraction."""
    sine = np.sin(observer.altitude_rad(observer.apparent(centre)))
    cos_z = np.where(sine > 0.0, sine, np.nan)
    upper = 1.002432 * cos_z**2 + 0.148386 * cos_z + 0.0096467
    lower = cos_z**3 + 0.149864 * cos_z**2 + 0.0102963 * cos_z + 0.000303978
    return np.asarray(upper / lower)
