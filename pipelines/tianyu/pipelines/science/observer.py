"""Where an observer on the Earth is, and how the sky turns about him, at many times at once.

By ERFA's routines on arrays: astropy's coordinate frames give the same and take over twenty times
as long, most of it in checks of each other. Everything comes from series that are installed with
astropy; nothing is downloaded.
"""

from dataclasses import dataclass

import erfa  # type: ignore[import-untyped]  # published without types
import numpy as np

from tianyu.pipelines.science.arrays import FloatArray

AU_M = 149_597_870_700.0
"""Astronomical unit (IAU 2012), metres."""

AU_LIGHT_DAYS = AU_M / 299_792_458.0 / 86_400.0
"""Light takes so long for one astronomical unit, days."""


@dataclass(frozen=True)
class EarthRotation:
    """How far the Earth had turned, day by day.

    Attributes
    ----------
    mjd : FloatArray
        Days (UTC), rising, shape (n,).
    ut1_minus_tai_s : FloatArray
        Of these days, s; it knows no leap seconds.
    """

    mjd: FloatArray
    ut1_minus_tai_s: FloatArray

    @classmethod
    def from_utc(cls, mjd: FloatArray, ut1_minus_utc_s: FloatArray) -> "EarthRotation":
        """Take what the tables of the IERS hold: UT1 − UTC, s."""
        return cls(mjd, ut1_minus_utc_s - _tai_minus_utc(mjd))

    def ut1_minus_utc_s(self, jd_utc: FloatArray) -> FloatArray:
        """Return UT1 − UTC, s, between the days that are known; 0 before and after."""
        at = jd_utc - erfa.DJM0
        between = np.interp(at, self.mjd, self.ut1_minus_tai_s, left=np.nan, right=np.nan)
        between += _tai_minus_utc(at)
        return np.where(np.isfinite(between), between, 0.0)


@dataclass(frozen=True)
class Observer:
    """An observer at n times; vectors are along the axes of the ICRS, shape ``(n, 3)``.

    Attributes
    ----------
    tdb : tuple of FloatArray
        Julian date in two parts, days.
    barycentric_au, heliocentric_au, geocentric_au : FloatArray
        Position from the barycentre of the solar system, the sun and the Earth, au.
    velocity_c : FloatArray
        Of the Earth about the barycentre, in units of the speed of light.
    zenith : FloatArray
        Unit vector along the vertical of the ellipsoid.
    """

    tdb: tuple[FloatArray, FloatArray]
    barycentric_au: FloatArray
    heliocentric_au: FloatArray
    geocentric_au: FloatArray
    velocity_c: FloatArray
    zenith: FloatArray

    def apparent(self, directions: FloatArray) -> FloatArray:
        """Turn directions towards where the Earth moves: aberration, to 0.001″.

        Parameters
        ----------
        directions : FloatArray
            Unit vectors, shape ``(3,)`` or ``(n, 3)``.

        Returns
        -------
        FloatArray
            Unit vectors, shape ``(n, 3)``.
        """
        turned = directions + self.velocity_c
        turned /= np.linalg.norm(turned, axis=1)[:, np.newaxis]
        return np.asarray(turned)

    def altitude_rad(self, directions: FloatArray) -> FloatArray:
        """Return the height of apparent directions above the horizon, without refraction, rad."""
        return np.asarray(np.arcsin(np.clip(along(directions, self.zenith), -1.0, 1.0)))


def observer_at(
    utc: tuple[FloatArray, FloatArray],
    *,
    latitude_deg: float,
    longitude_deg: float,
    altitude_m: float,
    rotation: EarthRotation | None = None,
) -> Observer:
    """Compute where an observer is.

    Parameters
    ----------
    utc : tuple of FloatArray
        Julian dates in two parts as ERFA takes UTC, shape (n,).
    latitude_deg, longitude_deg : float
        Geodetic (WGS 84), degrees, east positive.
    altitude_m : float
        Above the ellipsoid, metres.
    rotation : EarthRotation, optional
        Without it, and beyond its days, UT1 is taken as UTC: 0.9 s at most, 14″ of the sky or
        1.4 µs of light.

    Returns
    -------
    Observer

    Notes
    -----
    The Earth's place is ERFA's series, 15 km or 50 µs from the DE ephemerides; its axis follows the
    short nutation of IAU 2000B, 0.001″ or 3 cm from the long one. The wander of the pole, 0.3″, is
    left out: 10 m, or 30 ns of light.
    """
    latitude, longitude = np.radians([latitude_deg, longitude_deg])
    tt = erfa.taitt(*erfa.utctai(*utc))
    ahead_s = 0.0 if rotation is None else rotation.ut1_minus_utc_s(utc[0] + utc[1])
    ut1 = erfa.utcut1(*utc, ahead_s)
    turned = erfa.era00(*ut1)
    to_celestial = np.swapaxes(erfa.c2i00b(*tt), -1, -2)
    here = erfa.pvtob(longitude, latitude, altitude_m, 0.0, 0.0, 0.0, turned)["p"]
    site_au = np.einsum("nij,nj->ni", to_celestial, here) / AU_M
    meridian = turned + longitude
    up = np.cos(latitude) * np.cos(meridian), np.cos(latitude) * np.sin(meridian)
    vertical = np.stack([*up, np.full(len(meridian), np.sin(latitude))], axis=1)
    # The topocentric part of TDB − TT: 2 µs, by the distances from axis and equator in km.
    x, y, z = erfa.gd2gc(1, longitude, latitude, altitude_m) * 1e-3
    day = np.mod(ut1[0] + ut1[1] + 0.5, 1.0)
    difference = erfa.dtdb(*tt, day, longitude, np.hypot(x, y), z)
    tdb = erfa.tttdb(*tt, difference)
    heliocentric, barycentric = erfa.epv00(*tdb)
    return Observer(
        tdb=tdb,
        barycentric_au=barycentric["p"] + site_au,
        heliocentric_au=heliocentric["p"] + site_au,
        geocentric_au=site_au,
        velocity_c=barycentric["v"] * AU_LIGHT_DAYS,
        zenith=np.einsum("nij,nj->ni", to_celestial, vertical),
    )


def along(vectors: FloatArray, direction: FloatArray) -> FloatArray:
    """Return the products of vectors, shape ``(n, 3)``, with one direction or one each.

    Not by a matrix product, whose last digit depends on how many there are.
    """
    products = vectors * direction
    return np.asarray(products[:, 0] + products[:, 1] + products[:, 2])


def _tai_minus_utc(mjd: FloatArray) -> FloatArray:
    """Return TAI − UTC, s."""
    year, month, day, fraction = erfa.jd2cal(erfa.DJM0, mjd)
    return np.asarray(erfa.dat(year, month, day, fraction))
