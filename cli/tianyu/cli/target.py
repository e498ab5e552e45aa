"""``tianyu target``: what people ask for by name."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import select

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.cli.queries.observations import find_observation
from tianyu.cli.words import plural
from tianyu.pipelines.targets import POSITION_KIND
from tianyu.publisher.collisions import retry_collisions
from tianyu.publisher.positions import note_positions, read_positions
from tianyu.publisher.survey import ensure_target
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.tables import Observation, Target


class TargetKind(StrEnum):
    """What a target is."""

    STAR = "star"
    MOVING = "moving"
    FIELD = "field"
    CALIBRATION = "calibration"
    POSITION = POSITION_KIND
    """A place to be measured as it is given; it must also be noted for an observation."""


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


@app.command("place")
def place(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="Any table that astropy reads.")],
    observation: Annotated[
        str, typer.Option("--observation", metavar="NAME", help="Name or number of it.")
    ],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the next run of an observation measure the places of a table exactly as given.

    Columns name, and ra, dec (ICRS) or x, y, frame (0-based pixels of a named frame). They
    replace those of an earlier table; `tianyu publish` then makes the run.

    Example: tianyu target place candidates.csv --observation 3
    """
    positions = read_positions(table)
    with open_database(database) as opened:
        with opened.read() as connection:
            chosen = find_observation(connection, observation)
            kind = connection.scalar(select(Observation.kind).where(Observation.id == chosen))
        if kind != "light":
            raise ConfigurationError(
                f"observation {observation!r} holds {kind} frames; positions are measured in "
                "light frames"
            )
        lines = retry_collisions(opened, lambda c: note_positions(c, [chosen], positions))
    if as_json:
        print_json({"observation": chosen, "positions": positions, "left_out": lines})
        return
    for line in lines:
        typer.echo(line)
    typer.echo(
        f"{plural(len(positions) - len(lines), 'position')} noted; next: tianyu publish {chosen}"
    )


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
