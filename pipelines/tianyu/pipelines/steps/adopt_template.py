"""Take over the template of another night: its reference frame, sources and apertures."""

from pydantic import Field
from sqlalchemy import Connection, select, update

from tianyu.pipelines.adopting import copy_rows
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.products import Products
from tianyu.pipelines.step import StepParameters, step
from tianyu.pipelines.surroundings import SkyTemplate
from tianyu.schema.tables import ReferenceFrame


class AdoptTemplate(StepParameters):
    """Parameters of taking over a template."""

    template: SkyTemplate
    saturation_adu: float | None = Field(None, description="raw level; None: as it was found then")


@step(
    "adopt_template",
    parameters=AdoptTemplate,
    reads=(),
    writes=("reference_frame", "source_position", "aperture"),
)
def adopt_template(parameters: AdoptTemplate, context: StepContext) -> Products:
    """Measure this night where the template of an earlier one has its sources."""
    products = Products()
    products.then(lambda connection: _adopt(connection, parameters, context.run_id))
    return products


def _adopt(connection: Connection, parameters: AdoptTemplate, run_id: int) -> None:
    template = parameters.template
    kinds = ("reference_frame", "aperture")
    copy_rows(connection, kinds, from_run=template.run_id, to_run=run_id)
    own = ReferenceFrame.run_id == run_id
    if parameters.saturation_adu is not None:
        limits = connection.execute(select(ReferenceFrame.limits).where(own)).scalar_one()
        changed = dict(limits) | {"saturation_adu": parameters.saturation_adu}
        connection.execute(update(ReferenceFrame).where(own).values(limits=changed))
