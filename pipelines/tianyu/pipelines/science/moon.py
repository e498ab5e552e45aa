"""The moon as an observer sees it: its distance from the field, its height and its phase.

References
----------
.. [1] J. Meeus, 1998, Astronomical Algorithms, 2nd ed., chapters 47 and 48; the former's series is
   ERFA's ``moon98``, good to about 10″.
"""

import erfa  # type: ignore[import-untyped]  # published without types
import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.observer import AU_LIGHT_DAYS, Observer, along


def moon_at(observer: Observer, centre: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return distance from the field, altitude and illuminated fraction of the moon.

    Parameters
    ----------
    observer : Observer
        At n times; the moon's parallax is up to a degree.
    centre : FloatArray
        Unit vector to the field's centre, ICRS, shape (3,).

    Returns
    -------
    distance_deg, altitude_deg, illumination : ndarray, shape (n,)
        Altitude of the disc's centre without refraction; illumination from 0 (new) to 1 (full).
    """
    # TDB for TT: 2 ms, in which the moon moves by 2 m.
    orbit = erfa.moon98(*observer.tdb)
    position, velocity = orbit["p"], orbit["v"]
    to_moon = position - observer.geocentric_au
    # As it was about the Earth when the light left it, 1.3 s or 0.7″ before. It shares the Earth's
    # way about the sun, and so has no aberration by that.
    before = np.linalg.norm(to_moon, axis=1) * AU_LIGHT_DAYS
    to_moon -= velocity * before[:, np.newaxis]
    moon_au = np.linalg.norm(to_moon, axis=1)
    sun_au = np.linalg.norm(observer.heliocentric_au, axis=1)
    moon = to_moon / moon_au[:, np.newaxis]
    sun = observer.apparent(-observer.heliocentric_au / sun_au[:, np.newaxis])
    elongation = _separation_rad(sun, moon)
    phase_angle = np.arctan2(sun_au * np.sin(elongation), moon_au - sun_au * np.cos(elongation))
    return (
        np.degrees(_separation_rad(observer.apparent(centre), moon)),
        np.degrees(observer.altitude_rad(moon)),
        np.asarray((1.0 + np.cos(phase_angle)) / 2.0),
    )


def _separation_rad(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the angles between unit vectors, exact for small and for large ones."""
    across = np.linalg.norm(np.cross(one, other), axis=1)
    return np.asarray(np.arctan2(across, along(one, other)))
