"""First-order world coordinates: a gnomonic projection and a 2×2 matrix.

This is all that the pipeline needs of a sky solution (times per source, matching in the sky
plane, positions in the database). Distortion terms of a header are left out on purpose; where
they matter, sources are tied by their pixels.

References
----------
.. [1] M. R. Calabretta, E. W. Greisen, 2002, A&A 395, 1077 (gnomonic projection, CD matrix).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.transform import AffineTransform

PIXEL_SCALE_RANGE_ARCSEC = (0.005, 600.0)
"""Plausible pixel scales: from an extremely large telescope to an all-sky camera."""

FIRST_ORDER_PROJECTIONS = ("TAN", "TPV")
"""Projections that are gnomonic to first order, with or without a distortion suffix."""


def standard_coordinates(
    ra_deg: FloatArray, dec_deg: FloatArray, centre_ra_deg: float, centre_dec_deg: float
) -> tuple[FloatArray, FloatArray]:
    """Project the sky onto the plane that touches it at a centre.

    Parameters
    ----------
    ra_deg, dec_deg : FloatArray
        Positions, degrees.
    centre_ra_deg, centre_dec_deg : float
        Tangent point, degrees.

    Returns
    -------
    xi, eta : FloatArray
        Standard coordinates in degrees, east and north positive, same shape; NaN for a
        position 90° or more from the centre.

    Examples
    --------
    >>> xi, eta = standard_coordinates(np.array([10.0]), np.array([21.0]), 10.0, 20.0)
    >>> float(xi[0]), round(float(eta[0]), 6) == round(math.degrees(math.tan(math.radians(1))), 6)
    (0.0, True)
    """
    dec, centre_dec = np.radians(dec_deg), math.radians(centre_dec_deg)
    hour_angle = np.radians(np.asarray(ra_deg) - centre_ra_deg)
    sin_dec, cos_dec = np.sin(dec), np.cos(dec)
    sin_centre, cos_centre = math.sin(centre_dec), math.cos(centre_dec)
    towards_centre = sin_centre * sin_dec + cos_centre * cos_dec * np.cos(hour_angle)
    # The plane shows one hemisphere only; the other would be folded onto it.
    towards_centre = np.where(towards_centre > 0.0, towards_centre, np.nan)
    xi = cos_dec * np.sin(hour_angle) / towards_centre
    eta = (cos_centre * sin_dec - sin_centre * cos_dec * np.cos(hour_angle)) / towards_centre
    return np.degrees(xi), np.degrees(eta)


def sky_coordinates(
    xi_deg: FloatArray, eta_deg: FloatArray, centre_ra_deg: float, centre_dec_deg: float
) -> tuple[FloatArray, FloatArray]:
    """Lift standard coordinates back to the sky; undoes :func:`standard_coordinates`.

    Parameters
    ----------
    xi_deg, eta_deg : FloatArray
        Standard coordinates, degrees.
    centre_ra_deg, centre_dec_deg : float
        Tangent point, degrees.

    Returns
    -------
    ra_deg, dec_deg : FloatArray
        Right ascension in [0, 360) and declination, degrees, same shape.
    """
    xi, eta = np.radians(xi_deg), np.radians(eta_deg)
    sin_centre = math.sin(math.radians(centre_dec_deg))
    cos_centre = math.cos(math.radians(centre_dec_deg))
    along = cos_centre - eta * sin_centre
    ra = centre_ra_deg + np.degrees(np.arctan2(xi, along))
    dec = np.degrees(np.arctan2(sin_centre + eta * cos_centre, np.hypot(xi, along)))
    ra = np.mod(ra, 360.0)
    return np.where(ra < 360.0, ra, 0.0), dec  # the remainder of −1e-300 rounds to 360


@dataclass(frozen=True)
class LinearWcs:
    """Gnomonic world coordinates of a pixel grid, without distortion.

    Attributes
    ----------
    crval1_deg, crval2_deg : float
        Right ascension and declination of the tangent point, degrees.
    crpix1, crpix2 : float
        Tangent point in 0-based pixels (a header's are 1-based).
    cd11, cd12, cd21, cd22 : float
        Degrees of (ξ, η) per pixel of (x, y).

    Examples
    --------
    North up, east left, one arcsecond per pixel:

    >>> wcs = LinearWcs(150.0, 2.0, 511.5, 511.5, -1 / 3600, 0.0, 0.0, 1 / 3600)
    >>> ra, dec = wcs.to_sky(np.array([511.5]), np.array([571.5]))
    >>> float(ra[0]), round(float(dec[0]), 6) == round(2.0 + 1 / 60, 6)
    (150.0, True)
    """

    crval1_deg: float
    crval2_deg: float
    crpix1: float
    crpix2: float
    cd11: float
    cd12: float
    cd21: float
    cd22: float

    def __post_init__(self) -> None:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if not all(math.isfinite(value) for value in values.values()):
            raise UnusableDataError(f"the world coordinates are not all finite: {values}")
        if abs(self.crval2_deg) > 90.0 or not -360.0 <= self.crval1_deg <= 360.0:
            raise UnusableDataError(
                f"the reference point ({self.crval1_deg}, {self.crval2_deg}) is not a right "
                "ascension and declination in degrees"
            )
        low, high = PIXEL_SCALE_RANGE_ARCSEC
        if not low <= self.pixel_scale_arcsec <= high:
            raise UnusableDataError(
                f"the world coordinates have {self.pixel_scale_arcsec:g} arcsec per pixel, "
                f"outside the plausible {low:g} to {high:g}"
            )

    @classmethod
    def from_header(cls, cards: Mapping[str, object]) -> Self | None:
        """Read the first-order equatorial solution of a FITS header.

        The matrix comes from CDi_j, else from PCi_j and CDELTi, else from CDELTi and CROTA2.
        Distortion terms are ignored; axes may stand in either order.

        Parameters
        ----------
        cards : Mapping
            Header keywords and values.

        Returns
        -------
        LinearWcs or None
            None when the header has no equatorial world coordinates.

        Raises
        ------
        UnusableDataError
            If it has some, but they are incomplete, of another projection or equinox, or
            implausible.
        """
        names = [str(cards.get(f"CTYPE{axis}", "")).upper().strip() for axis in (1, 2)]
        kinds = [name[:4].rstrip("-") for name in names]
        if sorted(kinds) != ["DEC", "RA"]:
            return None
        _refuse_other_frames(cards, names)
        crval = [_number(cards, f"CRVAL{axis}") for axis in (1, 2)]
        matrix = _matrix(cards)
        if kinds == ["DEC", "RA"]:
            crval, matrix = crval[::-1], matrix[::-1]
        crpix = [_number(cards, f"CRPIX{axis}") - 1.0 for axis in (1, 2)]
        return cls(*crval, *crpix, *matrix.ravel().tolist())

    def to_header(self) -> dict[str, float | str]:
        """Return the FITS cards that say the same, with 1-based reference pixels."""
        return {
            "CTYPE1": "RA---TAN",
            "CTYPE2": "DEC--TAN",
            "CUNIT1": "deg",
            "CUNIT2": "deg",
            "CRVAL1": self.crval1_deg,
            "CRVAL2": self.crval2_deg,
            "CRPIX1": self.crpix1 + 1.0,
            "CRPIX2": self.crpix2 + 1.0,
            "CD1_1": self.cd11,
            "CD1_2": self.cd12,
            "CD2_1": self.cd21,
            "CD2_2": self.cd22,
            "RADESYS": "ICRS",
        }

    @property
    def pixel_scale_arcsec(self) -> float:
        """Geometric mean scale, arcseconds per pixel."""
        return 3600.0 * math.sqrt(abs(self.cd11 * self.cd22 - self.cd12 * self.cd21))

    def to_sky(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Convert 0-based pixels to right ascension in [0, 360) and declination, degrees."""
        dx, dy = np.asarray(x) - self.crpix1, np.asarray(y) - self.crpix2
        xi, eta = self.cd11 * dx + self.cd12 * dy, self.cd21 * dx + self.cd22 * dy
        return sky_coordinates(xi, eta, self.crval1_deg, self.crval2_deg)

    def to_pixel(self, ra_deg: FloatArray, dec_deg: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Convert degrees to 0-based pixels; NaN on the far half of the sky."""
        xi, eta = standard_coordinates(ra_deg, dec_deg, self.crval1_deg, self.crval2_deg)
        determinant = self.cd11 * self.cd22 - self.cd12 * self.cd21
        x = (self.cd22 * xi - self.cd12 * eta) / determinant + self.crpix1
        y = (self.cd11 * eta - self.cd21 * xi) / determinant + self.crpix2
        return x, y

    def transformed(self, transform: AffineTransform) -> "LinearWcs":
        """Carry the solution to another pixel grid of the same sky.

        Parameters
        ----------
        transform : AffineTransform
            Map of this grid's pixels to the other grid's. A template's solution becomes a
            frame's by the frame's transform; a frame's becomes the template's by its inverse.

        Returns
        -------
        LinearWcs
            World coordinates of the other grid.
        """
        back = transform.inverse()
        matrix = np.array([[self.cd11, self.cd12], [self.cd21, self.cd22]])
        moved = matrix @ np.array([[back.a, back.b], [back.c, back.d]])
        crpix1 = transform.a * self.crpix1 + transform.b * self.crpix2 + transform.tx
        crpix2 = transform.c * self.crpix1 + transform.d * self.crpix2 + transform.ty
        return LinearWcs(self.crval1_deg, self.crval2_deg, crpix1, crpix2, *moved.ravel().tolist())


def _refuse_other_frames(cards: Mapping[str, object], names: list[str]) -> None:
    """Refuse what a first-order ICRS solution cannot stand for."""
    for name in names:
        if name[5:8] not in FIRST_ORDER_PROJECTIONS:
            raise UnusableDataError(
                f"the projection {name!r} is not gnomonic; solve the frame anew, as TAN"
            )
    for axis in (1, 2):
        unit = str(cards.get(f"CUNIT{axis}", "deg")).strip().lower()
        if unit not in {"", "deg", "degree", "degrees"}:
            raise UnusableDataError(f"CUNIT{axis} is {unit!r}; only degrees are understood")
    system = str(cards.get("RADESYS", cards.get("RADECSYS", "ICRS"))).strip().upper()
    if system.startswith("FK4") or _number(cards, "EQUINOX", 2000.0) != 2000.0:
        raise UnusableDataError(
            f"the world coordinates are of {system}, equinox {cards.get('EQUINOX', 'unstated')}; "
            "only ICRS or FK5 of J2000 is understood"
        )
    if _number(cards, "LONPOLE", 180.0) != 180.0:
        raise UnusableDataError(f"LONPOLE is {cards['LONPOLE']}; only 180 is understood")


def _matrix(cards: Mapping[str, object]) -> FloatArray:
    """Return degrees per pixel, shape (2, 2), from whichever convention the header follows."""
    pairs = [(1, 1), (1, 2), (2, 1), (2, 2)]
    if any(f"CD{i}_{j}" in cards for i, j in pairs):
        return np.array([_number(cards, f"CD{i}_{j}", 0.0) for i, j in pairs]).reshape(2, 2)
    scales = np.array([_number(cards, "CDELT1"), _number(cards, "CDELT2")])
    if any(f"PC{i}_{j}" in cards for i, j in pairs):
        pc = [_number(cards, f"PC{i}_{j}", float(i == j)) for i, j in pairs]
        return np.asarray(scales[:, np.newaxis] * np.array(pc).reshape(2, 2))
    angle = math.radians(_number(cards, "CROTA2", 0.0))
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[scales[0] * cos, -scales[1] * sin], [scales[0] * sin, scales[1] * cos]])


def _number(cards: Mapping[str, object], name: str, default: float | None = None) -> float:
    """Read one card as a finite number, or say why it is none."""
    value = cards.get(name, default)
    if value is None:
        raise UnusableDataError(f"the header has world coordinates without {name}")
    try:
        number = float(str(value))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UnusableDataError(f"{name} = {value!r} of the world coordinates is not a number")
    return number
