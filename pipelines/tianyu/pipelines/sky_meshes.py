"""The skies that pass 1 found, as later passes take them off again."""

from collections.abc import Sequence

from sqlalchemy import select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.science.sky import SkyModel
from tianyu.schema.tables import SkyMesh


def load_sky_meshes(context: StepContext, image_ids: Sequence[int]) -> dict[int, SkyModel]:
    """Return the sky model of each of the run's frames, by image id.

    Parameters
    ----------
    context : StepContext
    image_ids : sequence of int
    """
    query = select(SkyMesh.image_id, SkyMesh.mesh).where(
        SkyMesh.run_id == context.run_id, SkyMesh.image_id.in_(image_ids)
    )
    with context.database.read() as connection:
        return {row.image_id: SkyModel.from_bytes(row.mesh) for row in connection.execute(query)}
