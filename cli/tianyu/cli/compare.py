"""``tianyu run compare``: the precision of two runs side by side, on the same stars."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text
from sqlalchemy import select

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.cli.queries.runs import read_run
from tianyu.cli.words import number, percent, plural
from tianyu.schema.tables import Run

if TYPE_CHECKING:
    from tianyu.cli.analysis.sidebyside import RunComparison


def compare_command(
    first: Annotated[int, typer.Argument(metavar="RUN", help="Number of the first run.")],
    second: Annotated[int, typer.Argument(metavar="RUN", help="Number of the second run.")],
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the scatter of the same stars in the same frames of two runs.

    Such as one with reference groups beside one with the ensemble: publish the night again with
    --set relative_photometry.method=groups; what comes before that step is taken over from the
    earlier run of the same version of the code.

    Example: tianyu run compare 3 4
    """
    from tianyu.cli.analysis.sidebyside import (  # noqa: PLC0415 - science is slow to import, for
        compare_runs,  # the other commands of `tianyu run`
        different_options,
    )
    from tianyu.cli.queries.run_curves import read_run_curves  # noqa: PLC0415

    with open_database(database) as opened, opened.read() as connection:
        for run in (first, second):
            read_run(connection, run)
        found = compare_runs(
            read_run_curves(connection, first), read_run_curves(connection, second)
        )
        options = [
            connection.scalars(select(Run.parameters).where(Run.id == run)).one()
            for run in (first, second)
        ]
    differ = different_options(options[0], options[1])
    if as_json:
        print_json({"comparison": found, "options": differ})
        return
    console = standard_output()
    console.print(_table(found))
    for name, (one, other) in differ.items():
        console.print(Text(f"{name}: {_option(one)} | {_option(other)}"))


def _option(value: object) -> str:
    return "default" if value is None else str(value)


def _table(found: "RunComparison") -> Table:
    first, second = found.runs
    table = new_table(
        f"Runs {first} | {second}: {plural(found.n_source, 'star')} in "
        f"{plural(found.n_frame, 'frame')} of both"
    )
    table.add_column("stars")
    names = ("number", "flux from", "to", "scatter", "point to point", "from errors")
    for name in (*names, f"{second}/{first}", f"quieter in {second}"):
        table.add_column(name, justify="right")
    for c in found.classes:
        table.add_row(
            c.name, str(c.n_source), f"{c.brightest:.0f}", f"{c.faintest:.0f}",
            _pair(c.scatter), _pair(c.point_to_point), _pair(c.expected),
            number(c.ratio, ".3f"), f"{100 * c.quieter:.0f} %",
        )  # fmt: skip
    return table


def _pair(values: tuple[float, float]) -> str:
    return " | ".join(percent(value) for value in values)
