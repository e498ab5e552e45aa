"""``tianyu sources``: the sources of a run and how quiet their light curves are."""

from typing import Annotated

import typer
from rich.text import Text

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.options import DatabaseOption, JsonOption, ObservationOption, RunOption
from tianyu.cli.queries.observations import find_observation
from tianyu.cli.queries.runs import newest_reduction, read_run
from tianyu.cli.queries.sources import SourceOrder, SourceRecord, read_sources
from tianyu.cli.words import number, percent
from tianyu.schema.errors import NotFoundError


def sources_command(
    observation: ObservationOption = None,
    run: RunOption = None,
    order: Annotated[
        SourceOrder, typer.Option("--sort", help="What comes first.")
    ] = SourceOrder.BRIGHTNESS,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many to list.")] = 25,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the sources of a run and their scatter.

    Example: tianyu sources --sort excess --limit 10
    """
    with open_database(database) as opened, opened.read() as connection:
        if run is None:
            chosen = None if observation is None else find_observation(connection, observation)
            run = newest_reduction(connection, chosen)
        read_run(connection, run)
        sources = read_sources(connection, run, order, limit)
    if not sources:
        raise NotFoundError(
            f"run {run} has no relative photometry; `tianyu status {run}` says how it stands"
        )
    if as_json:
        print_json({"run": run, "sources": sources})
    else:
        _print(sources)


def _print(sources: list[SourceRecord]) -> None:
    table = new_table()
    table.add_column("source", justify="right")
    table.add_column("name")
    for name in ("x", "y", "RA °", "Dec °", "flux", "radius", "epochs"):
        table.add_column(name, justify="right")
    for name in ("scatter", "expected", "ratio", "von Neumann"):
        table.add_column(name, justify="right")
    table.add_column("remark")
    for s in sources:
        table.add_row(str(s.source_id), Text(s.name or ""), *_numbers(s), _mark(s))
    standard_output().print(table)


def _mark(source: SourceRecord) -> str:
    if source.is_forced:
        return "forced"
    return "reference" if source.is_reference else ""


def _numbers(s: SourceRecord) -> list[str]:
    return [
        number(s.x, ".1f"),
        number(s.y, ".1f"),
        number(s.ra_deg, ".5f"),
        number(s.dec_deg, "+.5f"),
        number(s.mean_flux, ".0f"),
        number(s.radius_pix, ".2f"),
        str(s.n_epochs),
        percent(s.scatter),
        percent(s.expected_scatter),
        number(s.excess, ".2f"),
        number(s.von_neumann, ".2f"),
    ]
