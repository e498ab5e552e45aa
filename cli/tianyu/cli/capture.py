"""``tianyu capture``: a series of exposures, taken by a consumer of the group camera."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from sqlalchemy import select

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.errors import WorkFailedError
from tianyu.cli.nightrun import work_off
from tianyu.cli.options import DatabaseOption, JsonOption, SiteOption
from tianyu.cli.parsing import parse_options
from tianyu.cli.reducedfolder import SITE
from tianyu.cli.reduction import make_folder
from tianyu.cli.waking import wake_workers
from tianyu.pipelines.simulation.plan import FrameKind
from tianyu.pipelines.steps.capture import CameraKind
from tianyu.publisher.capturing import publish_capture
from tianyu.schema import migrate
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_site, find_site
from tianyu.schema.settings import load_settings
from tianyu.schema.states import State
from tianyu.schema.tables import Process

DATABASE_FILE = "capture.sqlite"
"""Beside the reduction's own: SQLite has one writer, and exposures wait for nobody."""


def capture_command(
    *,
    exposure: Annotated[
        float, typer.Option("--exposure", min=0.0, metavar="S", help="Of each frame.")
    ],
    frames: Annotated[
        int, typer.Option("--frames", min=1, metavar="N", help="How many frames.")
    ] = 1,
    cadence: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="S", help="From start to start. Default: no pause."),
    ] = None,
    camera: Annotated[CameraKind, typer.Option("--camera", help="Which kind of camera.")] = (
        CameraKind.SIMULATED
    ),
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Of the Alpaca server.")
    ] = None,
    device: Annotated[int, typer.Option(min=0, metavar="N", help="Camera there.")] = 0,
    kind: Annotated[FrameKind, typer.Option("--kind", help="What the frames are.")] = (
        FrameKind.LIGHT
    ),
    folder: Annotated[
        str, typer.Option(metavar="NAME", help="Where to, under the site's root.")
    ] = "incoming",
    stem: Annotated[str, typer.Option(metavar="NAME", help="Of the files: NAME_0001.fits.")] = (
        "frame"
    ),
    object_name: Annotated[
        str | None, typer.Option("--object", metavar="NAME", help="Header's OBJECT.")
    ] = None,
    filter_name: Annotated[
        str | None, typer.Option("--filter", metavar="NAME", help="Header's FILTER.")
    ] = None,
    telescope: Annotated[
        str | None, typer.Option(metavar="NAME", help="Header's TELESCOP.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="See `tianyu steps capture`."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="Take them here and now; else a consumer takes them."
        ),
    ] = None,
    site: SiteOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a series of exposures; every frame appears whole, with a full header.

    Frames go to a folder under the site's root, which `tianyu watch` watches. Consumers of the
    group camera (`tianyu consumer --group camera`) run on Linux and Windows.

    Example: tianyu capture --exposure 30 --frames 200 --camera alpaca --address 10.0.0.5:11111
    """
    extra = parse_options([f"capture.{text}" for text in option or []]).get("capture", {})
    values: dict[str, Any] = {
        "camera": camera.value,
        "device": device,
        "folder": folder,
        "stem": stem,
        "kind": kind.value,
        "exposure_s": exposure,
        "n_frames": frames,
        "cadence_s": cadence,
        "object_name": object_name,
        "filter_name": filter_name,
        "telescope": telescope,
        **({} if address is None else {"address": address}),
        **extra,
    }
    settings = load_settings(database_url=database, site=site)
    if out is not None:
        run_id, place = _take_here(out, values), out
    else:
        with open_database(database) as opened:
            with opened.read() as connection:
                site_id, place, _ = find_site(connection, settings.site)
            run_id = publish_capture(opened, site_id, values)
            wake_workers(opened, settings)
    if as_json:
        print_json({"run": run_id, "folder": str(place / folder)})
    else:
        typer.echo(f"run {run_id}: {frames} frames into {place / folder}")


def _take_here(out: Path, values: dict[str, Any]) -> int:
    """Take the exposures with a consumer of our own."""
    settings = load_settings()
    make_folder(out)
    database = Database(sqlite_url(out / DATABASE_FILE))
    try:
        migrate.upgrade(database)
        site_id = database.retry(lambda c: ensure_site(c, SITE, out, settings.lease_s))
        run_id = publish_capture(database, site_id, values)
        work_off(
            database,
            [run_id],
            settings=settings,
            site=SITE,
            workers=1,
            console=Console(stderr=True, highlight=False),
            groups=("camera",),
        )
        query = select(Process.state, Process.error_text).where(Process.run_id == run_id)
        with database.read() as connection:
            state, error = connection.execute(query).one()
    finally:
        database.dispose()
    if state != State.SUCCEEDED.value:
        raise WorkFailedError(f"the exposures are not complete: {error or state}")
    return run_id
