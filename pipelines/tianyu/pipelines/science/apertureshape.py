"""The shape of apertures: circles, or ellipses of one axis ratio and angle in a whole frame."""

import math
from dataclasses import dataclass

from tianyu.pipelines.science.transform import AffineTransform

LEAST_AXIS_RATIO = 0.2
"""Longer ellipses would be trails rather than stars, and meet their neighbours."""


@dataclass(frozen=True)
class ApertureShape:
    """Ellipses that have the areas of circles, so that a radius means the same area in any shape.

    Attributes
    ----------
    axis_ratio : float
        Minor over major axis q: semi-axes are r·√(1/q) and r·√q. 1 is a circle.
    angle_deg : float
        Direction of the major axis, from +x towards +y, degrees.

    Raises
    ------
    ValueError
        If the ratio is not between `LEAST_AXIS_RATIO` and 1, or the angle is not finite.

    Examples
    --------
    >>> ApertureShape(axis_ratio=0.25, angle_deg=30.0).semi_axes(4.0)
    (8.0, 2.0)
    """

    axis_ratio: float = 1.0
    angle_deg: float = 0.0

    def __post_init__(self) -> None:
        if not LEAST_AXIS_RATIO <= self.axis_ratio <= 1.0 or not math.isfinite(self.angle_deg):
            raise ValueError(
                f"an aperture of axis ratio {self.axis_ratio} at {self.angle_deg}° cannot be "
                f"placed: the ratio, minor over major, must be from {LEAST_AXIS_RATIO} to 1"
            )

    @property
    def is_round(self) -> bool:
        """Whether it is the circle."""
        return self.axis_ratio == 1.0

    @property
    def reach(self) -> float:
        """Longest distance from the centre over the radius of the circle of the same area."""
        return math.sqrt(1.0 / self.axis_ratio)

    def semi_axes(self, radius_pix: float) -> tuple[float, float]:
        """Return major and minor semi-axis that have the area of a circle, pixels."""
        return radius_pix * self.reach, radius_pix / self.reach

    def turned_by(self, transform: AffineTransform) -> "ApertureShape":
        """Return the shape on a frame, given that on the template.

        The direction of the major axis is carried along, by a mirrored map too; the axis ratio
        is not changed by the slight shear that a map may have.

        Parameters
        ----------
        transform : AffineTransform
            From template to frame pixels.
        """
        angle = math.radians(self.angle_deg)
        x, y = math.cos(angle), math.sin(angle)
        along_x = transform.a * x + transform.b * y
        along_y = transform.c * x + transform.d * y
        return ApertureShape(self.axis_ratio, upright(math.degrees(math.atan2(along_y, along_x))))


ROUND = ApertureShape()
"""Circles."""


def upright(angle_deg: float) -> float:
    """Return the angle of the same line in [−90°, 90°).

    >>> upright(90.0), upright(-135.0), upright(30.0)
    (-90.0, 45.0, 30.0)
    """
    return (angle_deg + 90.0) % 180.0 - 90.0


def shape_of_ellipticity(e1: float, e2: float) -> ApertureShape:
    """Return the shape with second moments such that e₁ = (Xx−Yy)/(Xx+Yy), e₂ = 2Xy/(Xx+Yy).

    Its axes are as √(1+e) to √(1−e), e being |(e₁, e₂)|, and its angle is half of that of
    (e₁, e₂) [1]_; what is longer than `LEAST_AXIS_RATIO` allows is cut to it.

    References
    ----------
    .. [1] M. Bartelmann, P. Schneider, 2001, Physics Reports 340, 291, section 4.2 (χ).

    Examples
    --------
    Variances 4 along y and 1 along x:

    >>> shape_of_ellipticity(-0.6, 0.0)
    ApertureShape(axis_ratio=0.5, angle_deg=-90.0)
    """
    size = min(math.hypot(e1, e2), 1.0)
    ratio = math.sqrt((1.0 - size) / (1.0 + size))
    angle = math.degrees(0.5 * math.atan2(e2, e1))
    return ApertureShape(max(ratio, LEAST_AXIS_RATIO), upright(angle))
