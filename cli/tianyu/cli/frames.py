"""``tianyu frames``: what was measured in each frame of a night, and whether it was used."""

from pathlib import Path
from typing import Annotated

import typer

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import standard_output
from tianyu.cli.options import DatabaseOption, JsonOption, ObservationOption, RunOption
from tianyu.cli.queries.frames import FrameRecord, read_frames
from tianyu.cli.queries.observations import find_observation
from tianyu.cli.queries.runs import newest_reduction, read_run
from tianyu.cli.render.frames import frames_view
from tianyu.schema.errors import NotFoundError


def frames_command(
    observation: ObservationOption = None,
    run: RunOption = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw them: .png, .pdf or .svg.")
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was measured in each frame of a night.

    Sky, noise, stars, widths, displacement, transparency, airmass, and why a frame was not
    used. Default: the newest observation.

    Example: tianyu frames --run 3 --plot night.png
    """
    with open_database(database) as opened, opened.read() as connection:
        if run is None:
            chosen = None if observation is None else find_observation(connection, observation)
            run = newest_reduction(connection, chosen)
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
