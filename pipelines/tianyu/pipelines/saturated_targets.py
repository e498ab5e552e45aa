"""Registered targets whose pixels are full: measured all the same, and told."""

import numpy as np
from sqlalchemy import select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.cube import FluxCube
from tianyu.pipelines.run_notes import Notes
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.schema.tables import Source, Target


def saturated_targets(context: StepContext, cube: FluxCube, aperture: int) -> Notes:
    """Say which registered targets are saturated, and how often.

    Parameters
    ----------
    context : StepContext
    cube : FluxCube
    aperture : int
        Whose flags are looked at.
    """
    query = select(Source.id, Target.name).join(Target, Target.id == Source.target_id)
    with context.database.read() as connection:
        name_of = {row.id: row.name for row in connection.execute(query)}
    n_saturated = (cube.flags[aperture] & np.uint16(FluxFlag.SATURATED) != 0).sum(axis=1)
    notes = [
        f"target {name_of[int(source_id)]!r} is saturated in {n} of {len(cube.image_id)} frames: "
        "its fluxes there are flagged and not to be trusted; expose shorter"
        for source_id, n in zip(cube.source_id, n_saturated, strict=True)
        if n and int(source_id) in name_of
    ]
    return {"saturated_targets": notes} if notes else {}
