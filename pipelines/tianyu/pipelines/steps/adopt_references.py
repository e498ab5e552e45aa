"""Take over what a template's run concluded of its sources: references, levels, apertures."""

from typing import cast

from sqlalchemy import Connection, Table, insert, literal, select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import MissingInputError
from tianyu.pipelines.products import Products
from tianyu.pipelines.step import StepParameters, step
from tianyu.pipelines.surroundings import SkyTemplate
from tianyu.schema.base import Base
from tianyu.schema.tables import FluxLevel, ReferenceGroup, ReferenceMember, SourcePhotometry


class AdoptReferences(StepParameters):
    """Parameters of taking over references."""

    template: SkyTemplate


@step(
    "adopt_references",
    parameters=AdoptReferences,
    reads=("source_position",),
    writes=("source_photometry",),
)
def adopt_references(parameters: AdoptReferences, context: StepContext) -> Products:
    """Compare the frames to come with the reference stars that the template's run has chosen."""
    products, source = Products(), parameters.template.run_id
    products.then(lambda connection: _adopt(connection, source, context.run_id))
    return products


def _adopt(connection: Connection, from_run: int, to_run: int) -> None:
    new_group = _copy_groups(connection, from_run, to_run)
    if not new_group:
        raise MissingInputError(
            f"run {from_run} has chosen no reference stars; frames cannot be compared before "
            "its relative photometry has succeeded"
        )
    _copy_rows(connection, FluxLevel, from_run, to_run)
    query = select(SourcePhotometry.__table__).where(SourcePhotometry.run_id == from_run)
    rows = [
        {**row._mapping, "run_id": to_run, "group_id": new_group.get(row.group_id)}  # noqa: SLF001 - the public name of the columns
        for row in connection.execute(query)
    ]
    connection.execute(insert(SourcePhotometry), rows)


def _copy_groups(connection: Connection, from_run: int, to_run: int) -> dict[int, int]:
    """Copy the groups and their members; return the new number of every group by its old one."""
    new_group = {}
    query = select(ReferenceGroup.__table__).where(ReferenceGroup.run_id == from_run)
    for row in connection.execute(query.order_by(ReferenceGroup.number)).all():
        values = {name: value for name, value in row._mapping.items() if name != "id"}  # noqa: SLF001 - as above
        result = connection.execute(insert(ReferenceGroup).values(**values | {"run_id": to_run}))
        key = result.inserted_primary_key
        if key is None:
            raise MissingInputError("the database returned no id for a new reference group")
        new_group[int(row.id)] = int(key[0])
    table = cast("Table", ReferenceMember.__table__)
    others = [column for column in table.c if column.name != "group_id"]
    for old, new in new_group.items():
        rows = select(literal(new), *others).where(table.c.group_id == old)
        connection.execute(insert(table).from_select([table.c.group_id, *others], rows))
    return new_group


def _copy_rows(connection: Connection, kind: type[Base], from_run: int, to_run: int) -> None:
    table = cast("Table", kind.__table__)
    others = [column for column in table.c if column.name != "run_id"]
    rows = select(literal(to_run), *others).where(table.c.run_id == from_run)
    connection.execute(insert(table).from_select([table.c.run_id, *others], rows))
