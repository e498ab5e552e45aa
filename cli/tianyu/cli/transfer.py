"""``tianyu transfer``: raw frames to another site."""

from typing import Annotated

import typer

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.cli.queries.observations import find_observation
from tianyu.cli.words import plural
from tianyu.publisher.bringing import bring_frames
from tianyu.schema.directory import find_site


def transfer_command(
    observation: Annotated[
        str, typer.Argument(metavar="OBSERVATION", help="Name or number of the observation.")
    ],
    *,
    to: Annotated[str, typer.Option("--to", metavar="SITE", help="Site that gets copies.")],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the raw frames of an observation to another site, by its consumers.

    They are pulled from the site that serves them (tianyu serve-files). What is there already is
    left out. Afterwards the observation can be published there.

    Example: tianyu transfer 3 --to centre
    """
    with open_database(database) as opened:
        with opened.read() as connection:
            observation_id = find_observation(connection, observation)
            site_id, _, _ = find_site(connection, to)
        bringing = bring_frames(opened, observation_id, site_id)
    if as_json:
        print_json(bringing)
    elif bringing.run_id is None:
        typer.echo(f"all frames of {observation} are at {to} already")
    else:
        frames = plural(bringing.n_frames, "frame")
        by = plural(bringing.n_processes, "process", "processes")
        how = "to be brought" if bringing.is_new else "on their way already,"
        typer.echo(f"run {bringing.run_id}: {frames} {how} to {to} by {by}; see tianyu status")
