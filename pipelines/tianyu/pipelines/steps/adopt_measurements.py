"""Take over what an earlier run measured in the same frames with the same parameters."""

from pydantic import Field

from tianyu.pipelines.adopting import copy_rows
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.products import Products
from tianyu.pipelines.step import StepParameters, step


class AdoptMeasurements(StepParameters):
    """Parameters of taking over."""

    source_run: int = Field(ge=1, description="run that measured")
    kinds: tuple[str, ...] = Field(min_length=1, description="kinds of rows taken over")


@step(
    "adopt_measurements",
    parameters=AdoptMeasurements,
    reads=(),
    writes=("reference_frame", "frame", "sky_mesh", "aperture_ellipse", "flux"),
)
def adopt_measurements(parameters: AdoptMeasurements, context: StepContext) -> Products:
    """Copy the rows of stages that are not repeated; their files are used where they are."""
    source, kinds, run_id = parameters.source_run, parameters.kinds, context.run_id
    products = Products()
    products.then(
        lambda connection: _ignore(copy_rows(connection, kinds, from_run=source, to_run=run_id))
    )
    return products


def _ignore(_counts: dict[str, int]) -> None:
    """Writers return nothing."""
