"""``tianyu watch``: frames of an open night, registered and measured as they come."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console

from tianyu.broker.connect import connect
from tianyu.cli.answers import print_json
from tianyu.cli.connect import explaining, open_database
from tianyu.cli.errors import WorkFailedError
from tianyu.cli.nightrun import BackgroundWorkers, available_cores
from tianyu.cli.options import (
    DecOption,
    GainOption,
    PositionsOption,
    RaOption,
    SaturationOption,
    SetOption,
    SiteAltOption,
    SiteLatOption,
    SiteLonOption,
    SiteOption,
    StackLightCurvesOption,
    TargetOption,
    WorkersOption,
)
from tianyu.cli.parsing import parse_duration, parse_options, target_request, with_stacks
from tianyu.cli.reducedfolder import DATABASE_FILE, SITE
from tianyu.cli.reduction import ReduceResult, make_folder, work_off_registration
from tianyu.cli.watching import Ending, WatchPlan, watch_folder
from tianyu.publisher.nightwatch import TEMPLATE_FRAMES, NightWatch
from tianyu.publisher.positions import read_positions
from tianyu.publisher.publishing import CHUNK_FRAMES, FAN_OUT, PublishOptions
from tianyu.publisher.registering import RegisterRequest, Registration
from tianyu.publisher.settling import SETTLE_S
from tianyu.publisher.survey import InstrumentFacts
from tianyu.schema import migrate
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_site, find_site
from tianyu.schema.settings import Settings, load_settings


@dataclass(frozen=True)
class WatchedObservation:
    """What has come of one observation.

    Attributes
    ----------
    median_latency_s, longest_latency_s : float or None
        From "file whole" to "relative flux committed", of the frames of this watch.
    final_run : int or None
        Its closing reduction.
    """

    name: str
    n_measured: int
    n_failed: int
    live_run: int | None
    median_latency_s: float | None
    longest_latency_s: float | None
    final_run: int | None


@dataclass(frozen=True)
class WatchAnswer:
    """How a watch ended."""

    ending: Ending
    n_taken: int
    rejected: tuple[dict[str, Any], ...]
    observations: tuple[WatchedObservation, ...]
    is_closed: bool


def watch_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that frames come into.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Folder for database and products, measured on this machine; left out, frames "
            "go to the database of the settings, for consumers.",
        ),
    ] = None,
    *,
    observation: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the observation. Default: from the headers."),
    ] = None,
    target: TargetOption = None,
    ra: RaOption = None,
    dec: DecOption = None,
    target_pixel: Annotated[
        str | None,
        typer.Option(metavar="X,Y@FRAME", help="0-based pixel of the target in a first frame."),
    ] = None,
    positions: PositionsOption = None,
    site_lat: SiteLatOption = None,
    site_lon: SiteLonOption = None,
    site_alt: SiteAltOption = None,
    gain: GainOption = None,
    saturation: SaturationOption = None,
    template_frames: Annotated[
        int,
        typer.Option(
            min=3,
            metavar="N",
            help="First frames that make the template, where no night left one.",
        ),
    ] = TEMPLATE_FRAMES,
    poll: Annotated[
        bool, typer.Option("--poll", help="Look again and again: for network drives.")
    ] = False,
    settle: Annotated[
        float,
        typer.Option(min=0.0, metavar="S", help="Seconds for which a file must not have changed."),
    ] = SETTLE_S,
    close: Annotated[
        bool | None,
        typer.Option("--close/--leave-open", help="What Ctrl-C means. Default: it asks."),
    ] = None,
    close_after: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Close after so long without a frame: 30min."),
    ] = None,
    workers: WorkersOption = None,
    chunk: Annotated[
        int, typer.Option(min=1, metavar="N", help="Frames per process of the closing reduction.")
    ] = CHUNK_FRAMES,
    stack_light_curves: StackLightCurvesOption = None,
    option: SetOption = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Default: the settings', or that in the --out folder."),
    ] = None,
    site: SiteOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")] = False,
) -> None:
    """Register and measure frames of an open night as they come into a folder.

    The first frames make a template, unless an earlier night of the same sky has left one; from
    then on every frame has relative fluxes in the view light_curve within seconds. They are
    provisional: closing the night reduces all of it as `tianyu reduce` would. Stopped, and run
    again, it goes on where it was.

    Example: tianyu watch incoming/ --out result --target HAT-P-32 --ra 31.0428 --dec 46.6878
    --close-after 30min
    """
    settings = load_settings(database_url=database, site=site)
    console = Console(stderr=True, highlight=False)
    request = RegisterRequest(
        paths=(),
        site_id=0,
        root=Path(),
        observation=observation,
        target=target_request(target, ra, dec, target_pixel),
        positions=() if positions is None else read_positions(positions),
        facts=InstrumentFacts(site_lat, site_lon, site_alt, gain, saturation),
        options=PublishOptions(
            chunk_frames=chunk,
            fan_out=FAN_OUT,
            steps=with_stacks(parse_options(option or []), stack_light_curves),
        ),
    )
    quiet_s = None if close_after is None else parse_duration(close_after)
    with _place(out, database, settings.site) as (opened, site_id, root):
        night = NightWatch(opened, replace(request, site_id=site_id, root=root), template_frames)
        plan = WatchPlan(folder, root, poll, settle, quiet_s)
        n_workers = workers or available_cores()
        ending = _watch(plan, night, opened, console, settings, None if out is None else n_workers)
        is_closing = ending is Ending.QUIET or (
            ending is Ending.INTERRUPTED and bool(night.open) and _wants_to_close(close)
        )
        registration = night.close() if is_closing else None
        result = None
        if registration is not None and out is not None:
            result = work_off_registration(
                opened,
                registration,
                site_id=site_id,
                out=out,
                options=request.options,
                workers=n_workers,
                console=console,
            )
    answer = _answer(night, ending, registration, result)
    if as_json:
        print_json(answer)
    else:
        _show(console, answer, out)
    if result is not None and result.shortcomings:
        raise WorkFailedError("; ".join(result.shortcomings))


@contextmanager
def _place(out: Path | None, url: str | None, site: str) -> Iterator[tuple[Database, int, Path]]:
    """Open the database of a folder, made when missing, or that of the settings; and the site."""
    if out is None:
        with open_database(url) as opened:
            with opened.read() as connection:
                site_id, root, _ = find_site(connection, site)
            yield opened, site_id, root
        return
    make_folder(out)
    database = Database(url or sqlite_url(out / DATABASE_FILE))
    try:
        with explaining(database, opening=True):
            migrate.upgrade(database)
        lease_s = load_settings().lease_s
        with explaining(database):
            yield database, database.retry(lambda c: ensure_site(c, SITE, out, lease_s)), out
    finally:
        database.dispose()


def _watch(
    plan: WatchPlan,
    night: NightWatch,
    database: Database,
    console: Console,
    settings: Settings,
    workers: int | None,
) -> Ending:
    """Watch, with workers of our own or for those of others."""
    if workers is None:
        broker = connect(settings.broker_address, database)
        try:
            return watch_folder(plan, night, console, wake=broker.wake, check=_nothing)
        finally:
            broker.close()
    background = BackgroundWorkers(database, settings, SITE, workers)
    background.start()
    try:
        return watch_folder(plan, night, console, wake=_nothing, check=background.check)
    finally:
        background.stop()


def _nothing() -> None:
    """Do nothing: workers of this process look for themselves, those of others are not ours."""


def _wants_to_close(close: bool | None) -> bool:
    if close is not None:
        return close
    return sys.stdin.isatty() and typer.confirm(
        "Close the night and reduce all of it?", default=True
    )


def _answer(
    night: NightWatch,
    ending: Ending,
    registration: Registration | None,
    result: ReduceResult | None,
) -> WatchAnswer:
    if result is not None:
        registration = result.registration
    closed = () if registration is None else registration.observations
    runs = {o.observation_id: o.run.run_id for o in closed if o.run is not None}
    observations = [
        WatchedObservation(
            name=item.observation.name,
            n_measured=item.n_measured,
            n_failed=item.n_failed,
            live_run=item.live_run,
            median_latency_s=median(item.latencies) if item.latencies else None,
            longest_latency_s=max(item.latencies, default=None),
            final_run=runs.get(key),
        )
        for key, item in night.open.items()
    ]
    return WatchAnswer(
        ending=ending,
        n_taken=night.n_taken,
        rejected=tuple({"file": str(r.path), "reason": r.reason} for r in night.rejected),
        observations=tuple(observations),
        is_closed=registration is not None or ending is Ending.CLOSED,
    )


def _show(console: Console, answer: WatchAnswer, out: Path | None) -> None:
    where = "" if out is None else f" --out {out}"
    console.print(f"{answer.n_taken} frames taken, {len(answer.rejected)} not used")
    for item in answer.observations:
        line = f"{item.name}: {item.n_measured} measured as they came"
        if item.median_latency_s is not None:
            line += f", {item.median_latency_s:.1f} s after the file was whole (median)"
        if item.final_run is not None:
            line += f"; closed, run {item.final_run}"
        elif not answer.is_closed:
            line += f"; left open: `tianyu observation close {item.name!r}{where}`"
        console.print(line, markup=False, soft_wrap=True)
