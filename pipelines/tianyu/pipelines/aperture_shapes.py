"""Which shape the apertures of a run have, frame by frame, and where that is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field, model_validator

from tianyu.pipelines.flux_plan import FluxPlan
from tianyu.pipelines.measuring import MeasuredFrame
from tianyu.pipelines.products import Products
from tianyu.pipelines.science.apertureshape import (
    LEAST_AXIS_RATIO,
    ROUND,
    ApertureShape,
)
from tianyu.pipelines.science.starshape import frame_shape
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.step import StepParameters
from tianyu.schema.tables import ApertureEllipse

ISOLATED_FWHM = 3.0
"""Distance to the nearest other source over the width of the stars from which a neighbour's light
does not draw out a star."""


class ShapeOfApertures(StepParameters):
    """Circles or ellipses."""

    apertures: Literal["circular", "elliptical"] = Field(
        "circular", description="elliptical: as the stars of each frame are drawn out"
    )
    axis_ratio: float | None = Field(
        None, ge=LEAST_AXIS_RATIO, le=1.0, description="of ellipses; None: each frame's own"
    )
    position_angle_deg: float | None = Field(
        None, description="of the ellipses of axis_ratio, on the template, from +x towards +y"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "ShapeOfApertures":
        given = {self.axis_ratio is not None, self.position_angle_deg is not None}
        if True in given and not self.wants_ellipses:
            raise ValueError(
                "axis_ratio and position_angle_deg are of ellipses: set apertures=elliptical as "
                "well, or leave them out"
            )
        if len(given) > 1:
            raise ValueError(
                "an ellipse needs axis_ratio and position_angle_deg: give both, or neither to "
                "take each frame's own"
            )
        return self

    @property
    def wants_ellipses(self) -> bool:
        """Whether apertures may be other than round."""
        return self.apertures == "elliptical"


@dataclass(frozen=True)
class FrameEllipse:
    """Shape of the apertures on one frame; ``n_stars`` told it, or None: it was given."""

    shape: ApertureShape
    n_stars: int | None


def ellipse_of_frame(
    image: MeasuredFrame,
    transform: AffineTransform,
    plan: FluxPlan,
    fwhm_pix: float | None,
    wanted: ShapeOfApertures,
) -> FrameEllipse | None:
    """Return the ellipse of one frame; None where circles are wanted.

    Parameters
    ----------
    image : MeasuredFrame
        All of whose pixels have been calibrated.
    transform : AffineTransform
        From reference to frame pixels.
    plan : FluxPlan
        Its bright isolated stars tell the shape.
    fwhm_pix : float or None
        Width of the stars of the frame; None: the night's.
    wanted : ShapeOfApertures
    """
    if not wanted.wants_ellipses:
        return None
    if wanted.axis_ratio is not None and wanted.position_angle_deg is not None:
        given = ApertureShape(wanted.axis_ratio, wanted.position_angle_deg)
        return FrameEllipse(given.turned_by(transform), None)
    peak = np.full(len(plan.x), np.nan) if plan.peak is None else plan.peak
    alone = ~plan.is_forced & (plan.neighbour_pix >= ISOLATED_FWHM * plan.fwhm_pix)
    stars = np.flatnonzero(alone & np.isfinite(peak))
    stars = stars[np.argsort(-peak[stars], kind="stable")]
    x, y = transform.apply(plan.x[stars], plan.y[stars])
    width = fwhm_pix if fwhm_pix is not None and np.isfinite(fwhm_pix) else plan.fwhm_pix
    shape, n_stars = frame_shape(
        image.pixels, image.mask, x, y, fwhm_pix=width, sky_rms=image.sky.rms
    )
    return FrameEllipse(shape, n_stars)


def shape_or_round(ellipse: FrameEllipse | None) -> ApertureShape:
    """Return the shape of the apertures on a frame."""
    return ROUND if ellipse is None else ellipse.shape


def add_ellipses(products: Products, run_id: int, ellipses: Mapping[int, FrameEllipse]) -> None:
    """Write the ellipses of frames, by image, where there are any."""
    if not ellipses:
        return
    images = sorted(ellipses)
    rows = [ellipses[image] for image in images]
    products.rows(
        ApertureEllipse,
        {
            "run_id": [run_id] * len(images),
            "image_id": images,
            "axis_ratio": [row.shape.axis_ratio for row in rows],
            "angle_deg": [row.shape.angle_deg for row in rows],
            "n_stars": [row.n_stars for row in rows],
        },
    )
