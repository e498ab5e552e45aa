"""``tianyu frames``: what was measured in each frame of a night, and whether it is used."""

from pathlib import Path
from typing import Annotated

import typer

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import standard_output
from tianyu.cli.options import (
    DatabaseOption,
    JsonOption,
    ObservationOption,
    OutOption,
    RunOption,
    WorkersOption,
)
from tianyu.cli.queries.frames import FrameRecord, read_frames
from tianyu.cli.queries.observations import find_observation
from tianyu.cli.queries.runs import newest_reduction, read_run
from tianyu.cli.reducedfolder import database_in
from tianyu.cli.render.frames import frames_view
from tianyu.cli.verdicts import VerdictRequest, change_verdicts, sayings_of
from tianyu.schema.errors import ConfigurationError, NotFoundError

FramesOption = list[str] | None


def frames_command(
    more: Annotated[
        FramesOption,
        typer.Argument(metavar="[FRAME]…", help="Further frames to reject, accept or reset."),
    ] = None,
    *,
    observation: ObservationOption = None,
    run: RunOption = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw them: .png, .pdf or .svg.")
    ] = None,
    reject: Annotated[
        FramesOption,
        typer.Option("--reject", metavar="FRAME", help="Never use these. May be repeated."),
    ] = None,
    accept: Annotated[
        FramesOption,
        typer.Option("--accept", metavar="FRAME", help="Use these whatever the tests say."),
    ] = None,
    reset: Annotated[
        FramesOption,
        typer.Option("--reset", metavar="FRAME", help="Leave these to the tests again."),
    ] = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept with the verdict.")
    ] = None,
    workers: WorkersOption = None,
    out: OutOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was measured in each frame of a night, and overrule the tests.

    Sky, noise, stars, widths, displacement, transparency, airmass, and why a frame was not
    used. Default: the newest observation. With a verdict a new run is published beside the
    old one, in which only what depends on the verdicts is repeated; later runs keep to it.

    Example: tianyu frames --out result --reject night_0042 night_0043 --reason "a satellite"
    """
    url = database_in(out, database)
    sayings = sayings_of(more or (), reject=reject, accept=accept, reset=reset, reason=reason)
    with open_database(url) as opened, opened.read() as connection:
        chosen = None if observation is None else find_observation(connection, observation)
        if run is None:
            run = newest_reduction(connection, chosen)
    if sayings:
        if plot is not None:
            raise ConfigurationError("give --plot by itself, after the new run has ended")
        change_verdicts(VerdictRequest(url, run, sayings, workers, out), as_json=as_json)
        return
    with open_database(url) as opened, opened.read() as connection:
        title = read_run(connection, run).observation or f"run {run}"
        frames = read_frames(connection, run)
    if not frames:
        raise NotFoundError(
            f"run {run} has measured no frame (yet); `tianyu status {run}` says how it stands"
        )
    if plot is not None:
        _plot(frames, title, plot)
    if as_json:
        print_json({"run": run, "observation": title, "frames": frames})
    elif plot is not None:
        typer.echo(f"{plot}: {len(frames)} frames of {title}")
    else:
        standard_output().print(frames_view(frames, title))


def _plot(frames: list[FrameRecord], title: str, path: Path) -> None:
    from tianyu.cli.plots.frames import draw_frames  # noqa: PLC0415 - matplotlib is slow to import
    from tianyu.cli.plots.style import save  # noqa: PLC0415

    save(draw_frames(frames, title), path)
