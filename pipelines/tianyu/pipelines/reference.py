"""The reference frame of a run, as later steps read it back."""

from dataclasses import dataclass

from sqlalchemy import select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import MissingInputError
from tianyu.pipelines.frames import FrameFacts, facts_of
from tianyu.pipelines.science.reference import ProvisionalLimits
from tianyu.pipelines.science.stack import Canvas
from tianyu.pipelines.science.starlist import StarList
from tianyu.schema.tables import ReferenceFrame


@dataclass(frozen=True)
class Reference:
    """What every frame of a run is aligned to and judged by in pass 1."""

    frame: FrameFacts
    canvas: Canvas
    stars: StarList
    limits: ProvisionalLimits
    saturation_adu: float | None


def load_reference(context: StepContext) -> Reference:
    """Read the reference frame of the run.

    Raises
    ------
    MissingInputError
        If the run has none yet.
    """
    with context.database.read() as connection:
        row = connection.execute(
            select(ReferenceFrame.__table__).where(ReferenceFrame.run_id == context.run_id)
        ).one_or_none()
    if row is None:
        raise MissingInputError(
            f"run {context.run_id} has no reference frame; its step choose_reference must succeed"
        )
    provisional = dict(row.limits["provisional"])
    for name, default in (("min_stars", 0.0), ("max_stars", float("inf"))):
        provisional[name] = default if provisional[name] is None else provisional[name]
    if provisional["max_sky_rms"] is None:
        provisional["max_sky_rms"] = float("inf")
    return Reference(
        frame=facts_of(context, row.image_id),
        canvas=Canvas(row.canvas_x0, row.canvas_y0, row.canvas_width, row.canvas_height),
        stars=StarList.from_bytes(row.stars),
        limits=ProvisionalLimits(**provisional),
        saturation_adu=row.limits["saturation_adu"],
    )
