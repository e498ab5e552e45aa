"""Where the sky falls on a frame: a gnomonic projection that follows drift and rotation."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.simulation.plan import NightPlan


@dataclass(frozen=True)
class TangentWcs:
    """A TAN projection with its tangential point at the field's centre.

    Attributes
    ----------
    ra_deg, dec_deg : float
        Tangential point, ICRS (``CRVAL``).
    x, y : float
        Its 0-based pixel (``CRPIX`` − 1).
    cd : tuple of float
        ``CD1_1, CD1_2, CD2_1, CD2_2`` (degrees per pixel).

    References
    ----------
    Calabretta & Greisen 2002, A&A 395, 1077.
    """

    ra_deg: float
    dec_deg: float
    x: float
    y: float
    cd: tuple[float, float, float, float]

    def to_sky(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Right ascension and declination (ICRS, degrees) of pixels, each of the same shape."""
        cd = np.radians(self.cd)
        xi = cd[0] * (x - self.x) + cd[1] * (y - self.y)
        eta = cd[2] * (x - self.x) + cd[3] * (y - self.y)
        ra0, dec0 = np.radians(self.ra_deg), np.radians(self.dec_deg)
        along = np.cos(dec0) - eta * np.sin(dec0)
        ra = ra0 + np.arctan2(xi, along)
        dec = np.arctan2(np.sin(dec0) + eta * np.cos(dec0), np.hypot(along, xi))
        return np.degrees(ra) % 360.0, np.asarray(np.degrees(dec), dtype=np.float64)

    def seen_through(self, transform: AffineTransform) -> Self:
        """Return the WCS of a frame whose pixels are this one's mapped by ``transform``."""
        inverse = transform.inverse()
        x, y = transform.apply(np.array([self.x]), np.array([self.y]))
        c = self.cd
        cd = (
            c[0] * inverse.a + c[1] * inverse.c,
            c[0] * inverse.b + c[1] * inverse.d,
            c[2] * inverse.a + c[3] * inverse.c,
            c[2] * inverse.b + c[3] * inverse.d,
        )
        return type(self)(self.ra_deg, self.dec_deg, float(x[0]), float(y[0]), cd)


def scene_wcs(plan: NightPlan) -> TangentWcs:
    """Return the WCS of the scene's pixels: north up and east left, but for the position angle."""
    scale = plan.field.pixel_scale_arcsec / 3600.0
    angle = np.radians(plan.field.position_angle_deg)
    cosine, sine = scale * float(np.cos(angle)), scale * float(np.sin(angle))
    x, y = plan.centre
    # North points from +y by the angle towards −x, where east is.
    return TangentWcs(plan.field.ra_deg, plan.field.dec_deg, x, y, (-cosine, -sine, -sine, cosine))
