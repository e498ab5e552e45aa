"""The moon as an observer sees it: its distance from the field, its height and its phase.

References
----------
.. [1] J. Meeus, 1998, Astronomical Algorithms, 2nd ed., chapter 48 (illuminated fraction).
"""

import astropy.units as u
import numpy as np
from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_body
from astropy.time import Time

from tianyu.pipelines.science.arrays import FloatArray


def moon_at(
    times: Time, site: EarthLocation, centre: SkyCoord, ephemeris: str
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return distance from the field, altitude and illuminated fraction of the moon.

    Parameters
    ----------
    times : Time
        Shape (n,).
    site : EarthLocation
        The moon's parallax is up to a degree.
    centre : SkyCoord
        Of the field.
    ephemeris : str
        As astropy names it.

    Returns
    -------
    distance_deg, altitude_deg, illumination : ndarray, shape (n,)
        Altitude of the disc's centre without refraction; illumination from 0 (new) to 1 (full).
    """
    moon = get_body("moon", times, location=site, ephemeris=ephemeris)
    sun = get_body("sun", times, location=site, ephemeris=ephemeris)
    distance = centre.transform_to(moon.frame).separation(moon).to_value(u.deg)
    altitude = moon.transform_to(AltAz(obstime=times, location=site)).alt.to_value(u.deg)
    elongation = sun.separation(moon).rad
    to_sun, to_moon = sun.distance.to_value(u.km), moon.distance.to_value(u.km)
    phase_angle = np.arctan2(to_sun * np.sin(elongation), to_moon - to_sun * np.cos(elongation))
    return np.asarray(distance), np.asarray(altitude), np.asarray((1.0 + np.cos(phase_angle)) / 2.0)
