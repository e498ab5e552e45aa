"""``tianyu pack``: light curves of ended runs in a seventh of the space."""

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.cli.queries.runs import read_run
from tianyu.cli.retention.packing import count_sources, pack_some, refuse_unfinished, unpack_some
from tianyu.cli.words import plural
from tianyu.schema.database import Database


def pack_command(
    runs: Annotated[list[int], typer.Argument(metavar="RUN…", help="Numbers of the runs.")],
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Make rows of them again.")] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep the light curves of runs that have ended in a seventh of the space, or undo it.

    Nothing is lost: --undo brings every row back, bit for bit. Meanwhile `tianyu lightcurve` reads
    them as before; the view light_curve, and commands that look at many stars or into one point,
    see only rows. May be interrupted and repeated.

    Example: tianyu pack 3 4
    """
    step: Callable[[Database, int], int] = unpack_some if undo else pack_some
    with open_database(database) as opened:
        with opened.read() as connection:
            for run in runs:
                read_run(connection, run)
                refuse_unfinished(connection, run)
            todo = {run: count_sources(connection, run)[1 if undo else 0] for run in runs}
        for run in runs:
            _move(opened, run, step, todo[run])
    if as_json:
        print_json({"runs": [{"run": run, "sources": n} for run, n in todo.items()]})
        return
    for run, n in todo.items():
        how = "are rows again" if undo else "packed"
        typer.echo(f"run {run}: light curves of {plural(n, 'source')} {how}")


def _move(database: Database, run: int, step: Callable[[Database, int], int], todo: int) -> None:
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"run {run}", total=todo)
        while moved := step(database, run):
            progress.advance(bar, moved)
