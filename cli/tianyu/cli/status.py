"""``tianyu status``: how far runs are, what failed and why."""

import contextlib
import time
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.live import Live

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import standard_output
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.cli.queries.runs import read_run, runs_to_watch
from tianyu.cli.queries.standing import Standing, read_standing
from tianyu.cli.render.status import status_view
from tianyu.schema.database import Database

REFRESH_S = 2.0
"""Pause between looks: each costs the database a few milliseconds."""


def status_command(
    runs: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="RUN",
            help="Numbers of runs. Default: the unfinished ones, else the newest.",
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Look again every 2 s until the runs have ended.")
    ] = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far runs are, what failed and why.

    Counts by step and state, the pace and the time left, what runs where, and for every
    blocked process the ancestor that failed.

    Example: tianyu status --watch
    """
    if watch and as_json:
        raise typer.BadParameter("--watch is for people and --json for programs; give one of them")
    with open_database(database) as opened:
        if watch:
            _watch(opened, runs)
            return
        standings = read_standings(opened, runs)
    if as_json:
        print_json({"runs": standings})
    else:
        standard_output().print(status_view(standings))


def read_standings(database: Database, runs: Sequence[int] | None) -> list[Standing]:
    """Return how runs stand, by their numbers or those most likely meant."""
    with database.read() as connection:
        chosen = [read_run(connection, r) for r in runs] if runs else runs_to_watch(connection)
        return [read_standing(connection, run) for run in chosen]


def _watch(database: Database, runs: Sequence[int] | None) -> None:
    standings = read_standings(database, runs)
    # The same runs to the end: the last picture shows how those that were watched came out.
    watched = [standing.run.run for standing in standings]
    view = Live(status_view(standings), console=standard_output(), auto_refresh=False)
    # Ctrl-C is how a person stops looking, no failure.
    with contextlib.suppress(KeyboardInterrupt), view as live:
        while any(standing.run.is_active for standing in standings):
            time.sleep(REFRESH_S)
            standings = read_standings(database, watched)
            live.update(status_view(standings), refresh=True)
