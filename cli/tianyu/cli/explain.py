"""``tianyu explain``: from one point of a light curve to everything that made it."""

from pathlib import Path
from typing import Annotated

import typer

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import standard_output
from tianyu.cli.options import DatabaseOption, JsonOption, RunOption
from tianyu.cli.reducedfolder import DATABASE_FILE
from tianyu.schema.database import sqlite_url
from tianyu.schema.errors import ConfigurationError


def explain_command(
    source: Annotated[
        str, typer.Option("--source", metavar="NAME|ID", help="Name of a target, or a source.")
    ],
    frame: Annotated[
        str,
        typer.Option(
            "--frame", metavar="FRAME", help="File name, number of an image, BJD or time in UTC."
        ),
    ],
    run: RunOption = None,
    radius: Annotated[
        float | None,
        typer.Option("--radius", metavar="PIX", min=0.0, help="Default: the one chosen for it."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of a reduction on this machine."),
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Trace one point of a light curve back to its raw file.

    Fluxes, references, frame, masters, template, processes, parameters and versions; files are
    compared with what was read. It ends with the commands that make it again.

    Example: tianyu explain --source HAT-P-32 --frame 2458107.7113 --out result
    """
    from tianyu.cli.provenance.explanation import explain  # noqa: PLC0415 - science is slow
    from tianyu.cli.provenance.point import find_point  # noqa: PLC0415 - to import, for --help
    from tianyu.cli.render.explanation import explanation_view  # noqa: PLC0415 - of any command

    if out is not None and database is not None:
        raise ConfigurationError("give --out or --database, not both: --out names a database too")
    url = database if out is None else sqlite_url(out / DATABASE_FILE)
    with open_database(url) as opened:
        with opened.read() as connection:
            key = find_point(connection, source, frame, run=run, radius_pix=radius)
        explanation = explain(opened, key, root=out, url=url)
    if as_json:
        print_json(explanation)
    else:
        standard_output().print(explanation_view(explanation))
        typer.echo("make it again:")
        for command in explanation.remake:
            # Whole, so that it can be copied.
            typer.echo(f"  {command}")
