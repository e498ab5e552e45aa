"""``tianyu reduce``: from a folder of frames to light curves, in one command."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tianyu.cli.answers import print_json
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.errors import WorkFailedError
from tianyu.cli.findings import frame_text, say, show_registration
from tianyu.cli.nightrun import available_cores
from tianyu.cli.options import (
    ChunkOption,
    GainOption,
    PositionsOption,
    SaturationOption,
    StackLightCurvesOption,
    TargetOption,
    WorkersOption,
)
from tianyu.cli.parsing import parse_options, target_request, with_stacks
from tianyu.cli.reducedfolder import DATABASE_FILE
from tianyu.cli.reduction import ReduceRequest, ReduceResult, reduce_night
from tianyu.publisher.positions import read_positions
from tianyu.publisher.publishing import CHUNK_FRAMES, FAN_OUT, PublishOptions
from tianyu.publisher.survey import InstrumentFacts


def reduce_command(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH…", help="Frames, or folders of frames.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for the database and products.")
    ],
    *,
    observation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the observation that the light frames make. Default: from the headers.",
        ),
    ] = None,
    target: TargetOption = None,
    ra: Annotated[
        float | None, typer.Option(metavar="DEG", help="Right ascension of the target, ICRS.")
    ] = None,
    dec: Annotated[
        float | None, typer.Option(metavar="DEG", help="Declination of the target, ICRS.")
    ] = None,
    target_pixel: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y@FRAME", help="0-based pixel of the target in the named frame (no WCS)."
        ),
    ] = None,
    positions: PositionsOption = None,
    site_lat: Annotated[
        float | None, typer.Option(metavar="DEG", help="Latitude of the telescope, north.")
    ] = None,
    site_lon: Annotated[
        float | None, typer.Option(metavar="DEG", help="Longitude of the telescope, EAST positive.")
    ] = None,
    site_alt: Annotated[
        float | None, typer.Option(metavar="M", help="Altitude of the telescope.")
    ] = None,
    gain: GainOption = None,
    saturation: SaturationOption = None,
    workers: WorkersOption = None,
    chunk: ChunkOption = CHUNK_FRAMES,
    fan_out: Annotated[
        int, typer.Option(min=2, metavar="K", help="Stacks merged per node of the tree.")
    ] = FAN_OUT,
    stack_light_curves: StackLightCurvesOption = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="STEP.NAME=VALUE",
            help="Parameter of a step; see tianyu steps NAME. May be repeated.",
        ),
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(metavar="URL", help=f"Default: sqlite:///DIR/{DATABASE_FILE}."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")] = False,
) -> None:
    """Reduce a folder of frames to light curves on this machine.

    Run it again on the same folder and it continues, or does nothing.

    Example: tianyu reduce night/ --out result --target HAT-P-32 --ra 31.0428 --dec 46.6878
    --site-lat 31.68 --site-lon -110.88 --site-alt 2000
    """
    request = ReduceRequest(
        paths=tuple(paths),
        out=out,
        observation=observation,
        target=target_request(target, ra, dec, target_pixel),
        facts=InstrumentFacts(
            latitude_deg=site_lat,
            longitude_deg=site_lon,
            altitude_m=site_alt,
            gain_e_per_adu=gain,
            saturation_adu=saturation,
        ),
        options=PublishOptions(
            chunk_frames=chunk,
            fan_out=fan_out,
            steps=with_stacks(parse_options(option or []), stack_light_curves),
        ),
        workers=workers or available_cores(),
        database_url=database,
        positions=() if positions is None else read_positions(positions),
    )
    console = Console(stderr=True, highlight=False)
    result = reduce_night(request, console)
    if as_json:
        print_json(result)
    else:
        show_result(result, request)
    shortcomings = result.shortcomings
    if shortcomings:
        raise WorkFailedError("; ".join(shortcomings))


def show_result(result: ReduceResult, request: ReduceRequest) -> None:
    """Say what was found and where everything is."""
    console = standard_output()
    show_registration(console, result.registration)
    table = new_table("What was reduced")
    for column in ("run", "observation", "frames", "good", "light curves"):
        table.add_column(column, justify="left" if column == "observation" else "right")
    for observation, summary in zip(
        result.registration.observations, result.summaries, strict=True
    ):
        is_light = observation.kind == "light"
        cells = [summary["n_good"], summary["n_light_curves"]] if is_light else ["", ""]
        table.add_row(
            str(summary["run_id"]), observation.name, str(observation.n_frames), *map(str, cells)
        )
    console.print(table)
    for note in _one_pass_notes(result):
        console.print(note)
    for observation, summary in zip(
        result.registration.observations, result.summaries, strict=True
    ):
        _show_summary(console, observation.name, summary, Path(result.folder))
    for failure in result.failures:
        say(console, "failed", failure, "red")
    _show_next_steps(console, result, request)


def _show_summary(
    console: Console, observation: str, summary: Mapping[str, Any], folder: Path
) -> None:
    """Say what of one run a person should know: what was left out, and where its files are."""
    for rejected in summary["rejected"]:
        say(console, "rejected", frame_text(rejected["frame"], rejected["reason"]), "yellow")
    for note in summary["notes"]:
        say(console, "note", f"{observation}: {note}", "yellow")
    for kind, path in summary["products"].items():
        console.print(f"{kind.replace('_', ' ')}: {folder / path}")


def _one_pass_notes(result: ReduceResult) -> list[str]:
    return [
        f"{observation.name}: {observation.run.template}"
        for observation in result.registration.observations
        if observation.run is not None and observation.run.template is not None
    ]


def _show_next_steps(console: Console, result: ReduceResult, request: ReduceRequest) -> None:
    which = f"--target {request.target.name!r}" if request.target else "--source 1"
    console.print(f"light curves: table light_curve in {result.database}")
    if not result.is_complete:
        console.print("[yellow]interrupted[/]: run the same command again to continue")
    console.print(
        f"next: tianyu lightcurve --database {result.database} {which} --plot curve.png",
        soft_wrap=True,
    )
