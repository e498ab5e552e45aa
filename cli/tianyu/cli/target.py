"""``tianyu target``: what people ask for by name."""

from enum import StrEnum
from typing import Annotated

import typer
from sqlalchemy import select

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.publisher.collisions import retry_collisions
from tianyu.publisher.survey import ensure_target
from tianyu.schema.tables import Target


class TargetKind(StrEnum):
    """What a target is."""

    STAR = "star"
    MOVING = "moving"
    FIELD = "field"
    CALIBRATION = "calibration"


app = typer.Typer(
    help="Add and list targets.\n\nExample: tianyu target list",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the target.")],
    *,
    ra: Annotated[
        float | None, typer.Option("--ra", metavar="DEG", help="Right ascension, ICRS.")
    ] = None,
    dec: Annotated[
        float | None, typer.Option("--dec", metavar="DEG", help="Declination, ICRS.")
    ] = None,
    kind: Annotated[TargetKind, typer.Option("--kind", help="What it is.")] = TargetKind.STAR,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a target, or give one its coordinates.

    Example: tianyu target add HAT-P-32 --ra 31.042825 --dec 46.687837
    """
    with open_database(database) as opened:
        target_id = retry_collisions(
            opened, lambda c: ensure_target(c, name, kind=kind.value, ra_deg=ra, dec_deg=dec)
        )
    if as_json:
        print_json({"target": name, "id": target_id})
    else:
        typer.echo(f"target {name} is number {target_id}")


@app.command("list")
def list_(database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """List the targets.

    Example: tianyu target list
    """
    query = select(Target.name, Target.kind, Target.ra_deg, Target.dec_deg).order_by(Target.name)
    with open_database(database) as opened, opened.read() as connection:
        targets = [dict(row) for row in connection.execute(query).mappings()]
    if as_json:
        print_json({"targets": targets})
        return
    table = new_table("Targets")
    for column in ("name", "kind", "RA", "Dec"):
        table.add_column(column)
    for target in targets:
        degrees = [target["ra_deg"], target["dec_deg"]]
        cells = ["" if value is None else f"{value:.6f}" for value in degrees]
        table.add_row(target["name"], target["kind"], *cells)
    standard_output().print(table)
