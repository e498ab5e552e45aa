"""The shape of the apertures on the frame of a point."""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from tianyu.cli.provenance.point import PointKey
from tianyu.pipelines.science.apertureshape import ApertureShape
from tianyu.schema.tables import ApertureEllipse


@dataclass(frozen=True)
class FrameEllipse:
    """The ellipses on a frame; radii are those of circles of the same areas."""

    axis_ratio: float
    angle_deg: float
    """Of the major axis, from the frame's +x towards +y."""
    n_stars: int | None
    """Stars of the frame that told it; None: given by parameters."""

    def words(self, radius_pix: float) -> str:
        """Say which aperture a radius stands for."""
        told = "given" if self.n_stars is None else f"from {self.n_stars} stars of the frame"
        if self.axis_ratio == 1.0:
            return f"circle: the frame's stars are round ({told})"
        # A stored single may be a hair off what was valid.
        major, minor = ApertureShape(min(self.axis_ratio, 1.0)).semi_axes(radius_pix)
        return (
            f"ellipse: semi-axes {major:.2f} and {minor:.2f} px (ratio {self.axis_ratio:.3f}), "
            f"major axis {self.angle_deg:.1f}° from +x towards +y, {told}; area of the circle"
        )


def find_ellipse(connection: Connection, key: PointKey) -> FrameEllipse | None:
    """Return the ellipse of the frame of a point; None where circles were measured."""
    row = connection.execute(
        select(
            ApertureEllipse.axis_ratio, ApertureEllipse.angle_deg, ApertureEllipse.n_stars
        ).where(ApertureEllipse.run_id == key.run, ApertureEllipse.image_id == key.image)
    ).one_or_none()
    return None if row is None else FrameEllipse(row.axis_ratio, row.angle_deg, row.n_stars)
