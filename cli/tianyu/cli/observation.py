"""``tianyu observation``: the nights that frames belong to, and closing an open one."""

from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from sqlalchemy import Connection, func, select

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.errors import WorkFailedError
from tianyu.cli.nightrun import available_cores
from tianyu.cli.options import (
    ChunkOption,
    DatabaseOption,
    JsonOption,
    OutOption,
    SetOption,
    SiteOption,
    WorkersOption,
)
from tianyu.cli.parsing import parse_options
from tianyu.cli.queries.observations import find_observation
from tianyu.cli.reducedfolder import SITE, database_in
from tianyu.cli.reduction import work_off_registration
from tianyu.cli.waking import wake_workers
from tianyu.publisher.closing import close_observation
from tianyu.publisher.live import live_runs
from tianyu.publisher.publishing import CHUNK_FRAMES, PublishOptions
from tianyu.publisher.registering import RegisteredObservation, Registration
from tianyu.schema.directory import find_site
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.settings import load_settings
from tianyu.schema.tables import Image, Observation, Run

A_DAY = timedelta(days=1)
"""Calibration frames no farther from the night are published anew when it is closed."""

app = typer.Typer(
    help="List and close observations.\n\nExample: tianyu observation list",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)


@app.command("list")
def list_(
    *, out: OutOption = None, database: DatabaseOption = None, as_json: JsonOption = False
) -> None:
    """List observations, and which of them are open.

    Example: tianyu observation list --out result
    """
    with open_database(database_in(out, database)) as opened, opened.read() as connection:
        rows = _observations(connection)
    if as_json:
        print_json({"observations": rows})
        return
    table = new_table("Observations")
    for column in ("", "name", "kind", "frames", "current run", "state"):
        table.add_column(column)
    for row in rows:
        current = "" if row["current_run"] is None else str(row["current_run"])
        cells = [str(row["id"]), row["name"], row["kind"], str(row["n_frames"]), current]
        table.add_row(*cells, "open" if row["is_open"] else "")
    standard_output().print(table)


@app.command("close")
def close(
    observation: Annotated[
        str, typer.Argument(metavar="OBSERVATION", help="Name or number of the observation.")
    ],
    *,
    out: OutOption = None,
    option: SetOption = None,
    chunk: ChunkOption = CHUNK_FRAMES,
    workers: WorkersOption = None,
    site: SiteOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close an open night: reduce all of it, as a folder of its frames would be.

    The provisional light curves are shown until it has ended. A watcher of the night ends by
    itself. Calibration frames that came after the template are used too. Of a folder (--out)
    the reduction is worked off at once, else by the consumers.

    Example: tianyu observation close 4 --out result
    """
    settings = load_settings(site=site)
    options = PublishOptions(chunk_frames=chunk, steps=parse_options(option or []))
    with open_database(database_in(out, database)) as opened:
        with opened.read() as connection:
            chosen = find_observation(connection, observation)
            site_id, _, _ = find_site(connection, SITE if out is not None else settings.site)
            members = _with_calibration(connection, chosen)
        closed = tuple(close_observation(opened, one, site_id, options) for one in members)
        result = None
        if out is not None:
            result = work_off_registration(
                opened,
                Registration(closed, (), ()),
                site_id=site_id,
                out=out,
                options=options,
                workers=workers or available_cores(),
                console=Console(stderr=True, highlight=False),
            )
        else:
            wake_workers(opened, settings)
    run = closed[-1].run
    answer = {"observation": closed[-1].name, "run": None if run is None else run.run_id}
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{answer['observation']} is closed: run {answer['run']}")
    if result is not None and result.shortcomings:
        raise WorkFailedError("; ".join(result.shortcomings))


def _observations(connection: Connection) -> list[dict[str, Any]]:
    frames = (
        select(Image.observation_id, func.count().label("n"))
        .where(Image.birth.is_(None))
        .group_by(Image.observation_id)
        .subquery()
    )
    query = (
        select(
            Observation.id,
            Observation.name,
            Observation.kind,
            Observation.current_run_id,
            func.coalesce(frames.c.n, 0).label("n_frames"),
            Run.recipe,
        )
        .outerjoin(frames, frames.c.observation_id == Observation.id)
        .outerjoin(Run, Run.id == Observation.current_run_id)
        .order_by(Observation.id)
    )
    live = live_runs(connection)
    return [
        {
            "id": row.id,
            "name": row.name,
            "kind": row.kind,
            "n_frames": row.n_frames,
            "current_run": row.current_run_id,
            "is_open": row.current_run_id is not None and row.current_run_id == live.get(row.id),
        }
        for row in connection.execute(query).all()
    ]


def _with_calibration(connection: Connection, observation_id: int) -> list[RegisteredObservation]:
    """Return an observation after the calibration frames of its instrument and night."""
    own = connection.execute(
        select(Observation.__table__).where(Observation.id == observation_id)
    ).one()
    if own.kind != "light":
        raise ConfigurationError(
            f"observation {own.name!r} holds {own.kind} frames; nights of light frames are closed"
        )
    of_night = select(func.min(Image.utc_start), func.max(Image.utc_start)).where(
        Image.observation_id == observation_id, Image.birth.is_(None)
    )
    first, last = connection.execute(of_night).one()
    order = {"bias": 0, "dark": 1, "flat": 2}
    query = (
        select(Observation.id, Observation.name, Observation.kind)
        .join(Image, Image.observation_id == Observation.id)
        .where(Observation.instrument_id == own.instrument_id, Observation.kind.in_(order))
        .where(Image.birth.is_(None))
        .distinct()
    )
    if first is not None and last is not None:
        query = query.where(Image.utc_start.between(first - A_DAY, last + A_DAY))
    rows = connection.execute(query).all()
    members = [*sorted(rows, key=lambda row: (order[row.kind], row.id)), own]
    return [RegisteredObservation(row.id, row.name, row.kind, 0, 0, None) for row in members]
