"""``tianyu register`` and ``tianyu publish``: frames in, processes out."""

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.findings import show_masters, show_registration
from tianyu.cli.options import (
    ChunkOption,
    DatabaseOption,
    DecOption,
    GpuOption,
    JsonOption,
    PositionsOption,
    RaOption,
    ScienceSiteOption,
    SetOption,
    SiteAltOption,
    SiteLatOption,
    SiteLonOption,
    SiteOption,
    StackLightCurvesOption,
    TargetOption,
)
from tianyu.cli.parsing import parse_options, target_request, with_stacks
from tianyu.cli.queries.observations import find_observation
from tianyu.publisher.placing import Placement
from tianyu.publisher.positions import read_positions
from tianyu.publisher.publishing import CHUNK_FRAMES, FAN_OUT, PublishOptions, publish
from tianyu.publisher.registering import RegisterRequest, Registration, register
from tianyu.publisher.survey import InstrumentFacts
from tianyu.schema.directory import find_site
from tianyu.schema.settings import load_settings


def register_command(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH…", help="Frames, or folders of frames.")
    ],
    *,
    observation: Annotated[
        str | None, typer.Option("--observation", metavar="NAME", help="Name of the observation.")
    ] = None,
    target: TargetOption = None,
    ra: RaOption = None,
    dec: DecOption = None,
    target_pixel: Annotated[
        str | None,
        typer.Option(metavar="X,Y@FRAME", help="0-based pixel of the target in the named frame."),
    ] = None,
    positions: PositionsOption = None,
    site_lat: SiteLatOption = None,
    site_lon: SiteLonOption = None,
    site_alt: SiteAltOption = None,
    site: SiteOption = None,
    science_site: ScienceSiteOption = None,
    placement: Annotated[
        Placement, typer.Option("--placement", help="How files come under the site's root.")
    ] = Placement.LINK,
    no_publish: Annotated[
        bool, typer.Option("--no-publish", help="Only register; publish later.")
    ] = False,
    chunk: ChunkOption = CHUNK_FRAMES,
    stack_light_curves: StackLightCurvesOption = None,
    option: SetOption = None,
    gpu: GpuOption = False,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Register frames and publish the default recipe of each observation.

    Example: tianyu register night/ --target HAT-P-32 --ra 31.0428 --dec 46.6878
    """
    settings = load_settings(database_url=database, site=site)
    with open_database(database) as opened:
        with opened.read() as connection:
            site_id, root, _ = find_site(connection, settings.site)
            science_site_id = _find_science_site(connection, science_site)
        request = RegisterRequest(
            paths=paths,
            site_id=site_id,
            root=root,
            observation=observation,
            target=target_request(target, ra, dec, target_pixel),
            positions=() if positions is None else read_positions(positions),
            facts=InstrumentFacts(site_lat, site_lon, site_alt),
            placement=placement,
            options=PublishOptions(
                chunk_frames=chunk,
                steps=with_stacks(parse_options(option or []), stack_light_curves),
                science_site_id=science_site_id,
                with_gpu=gpu,
            ),
            publish=not no_publish,
        )
        registration = register(opened, request)
    if as_json:
        print_json(registration)
    else:
        _show(registration)


def publish_command(
    observation: Annotated[
        str, typer.Argument(metavar="OBSERVATION", help="Name or number of the observation.")
    ],
    *,
    recipe: Annotated[
        str | None, typer.Option("--recipe", metavar="NAME", help="Default: the instrument's.")
    ] = None,
    chunk: ChunkOption = CHUNK_FRAMES,
    fan_out: Annotated[
        int, typer.Option(min=2, metavar="K", help="Stacks merged per node of the tree.")
    ] = FAN_OUT,
    stack_light_curves: StackLightCurvesOption = None,
    option: SetOption = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Repeat even what an earlier run did just the same."),
    ] = False,
    gpu: GpuOption = False,
    site: SiteOption = None,
    science_site: ScienceSiteOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publish the processes that reduce a registered observation.

    The same thing published twice is one run; other parameters make a new run beside the old.

    Example: tianyu publish 3 --set relative_photometry.method=groups
    """
    settings = load_settings(database_url=database, site=site)
    chosen = parse_options(option or [])
    with open_database(database) as opened:
        with opened.read() as connection:
            site_id, _, _ = find_site(connection, settings.site)
            options = PublishOptions(
                recipe=recipe,
                chunk_frames=chunk,
                fan_out=fan_out,
                steps=with_stacks(chosen, stack_light_curves),
                is_fresh=fresh,
                science_site_id=_find_science_site(connection, science_site),
                with_gpu=gpu,
            )
            observation_id = find_observation(connection, observation)
        run = publish(opened, observation_id, site_id, options)
    if as_json:
        print_json(run)
    elif run.is_new:
        reused = f", {run.n_reused} of run {run.reused_run} not repeated" if run.n_reused else ""
        typer.echo(f"run {run.run_id}: {run.n_processes} processes of recipe {run.recipe}{reused}")
    else:
        typer.echo(f"run {run.run_id} is this reduction already; nothing was published")
    if not as_json:
        show_masters(standard_output(), observation, run)


def _find_science_site(connection: Connection, name: str | None) -> int | None:
    return None if name is None else find_site(connection, name)[0]


def _show(registration: Registration) -> None:
    console = standard_output()
    show_registration(console, registration)
    table = new_table("Registered")
    for column in ("observation", "name", "frames", "new", "run", "processes"):
        table.add_column(column)
    for item in registration.observations:
        run = item.run
        cells = ["", ""]
        if run is not None:
            cells = [str(run.run_id), str(run.n_processes) if run.is_new else "as before"]
        numbers = [str(item.n_frames), str(item.n_new)]
        table.add_row(str(item.observation_id), item.name, *numbers, *cells)
    console.print(table)
