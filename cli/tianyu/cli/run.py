"""``tianyu run``: list, show, use, compare, cancel, rescue and purge runs."""

from typing import Annotated

import typer
from sqlalchemy import Connection, select

from tianyu.cli.answers import print_json
from tianyu.cli.compare import compare_command
from tianyu.cli.connect import open_database
from tianyu.cli.console import standard_output
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.cli.purge import purge_command
from tianyu.cli.queries.costs import read_costs
from tianyu.cli.queries.runs import list_runs, read_run
from tianyu.cli.render.runs import run_view, runs_table
from tianyu.cli.words import plural
from tianyu.pipelines.current import make_current
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.states import RESCUABLE, State
from tianyu.schema.tables import Process
from tianyu.schema.transitions import operator

app = typer.Typer(
    help="List, show, use, compare, cancel, rescue and purge runs.\n\nExample: tianyu run list",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)

RunArgument = Annotated[int, typer.Argument(metavar="RUN", help="Number of the run.")]


@app.command("list")
def list_(database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """List every run with its processes by state.

    Example: tianyu run list --json
    """
    with open_database(database) as opened, opened.read() as connection:
        runs = list_runs(connection)
    if as_json:
        print_json({"runs": runs})
    elif runs:
        standard_output().print(runs_table(runs))
    else:
        typer.echo("no run has been published; start with `tianyu reduce PATH… --out DIR`")


@app.command("show")
def show(run: RunArgument, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Show what a run has cost, by step: time, memory, bytes.

    Wall and CPU time are summed over all attempts, and divided by the light frames of the run.

    Example: tianyu run show 3
    """
    with open_database(database) as opened, opened.read() as connection:
        summary = read_run(connection, run)
        cost = read_costs(connection, run)
    if as_json:
        print_json({"run": summary, "cost": cost, "total": cost.total})
    else:
        standard_output().print(run_view(summary, cost))


@app.command("use")
def use(run: RunArgument, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Let ``light_curve`` show this run of its observation from now on.

    The runs of an observation stand side by side; the newest that ended is shown until a person
    chooses another one.

    Example: tianyu run use 3
    """
    with open_database(database) as opened:
        before = opened.retry(lambda connection: use_run(connection, run))
    if as_json:
        print_json({"run": run, "before": before})
    elif before == run:
        typer.echo(f"run {run} is the current one already")
    else:
        was = "none was before" if before is None else f"before it was run {before}"
        typer.echo(f"run {run} is the current one now; {was}")


def use_run(connection: Connection, run: int) -> int | None:
    """Make a run the current one; return the one that was.

    Raises
    ------
    NotFoundError
        If there is no such run.
    ConfigurationError
        If it has no light curves to show.
    """
    summary = read_run(connection, run)
    query = select(Process.state).where(
        Process.run_id == run, Process.command == "relative_photometry"
    )
    if connection.scalar(query) != State.SUCCEEDED.value:
        raise ConfigurationError(
            f"run {run} of recipe {summary.recipe} has no light curves (yet); `tianyu status "
            f"{run}` says how it stands"
        )
    return make_current(connection, run)


@app.command("cancel")
def cancel(run: RunArgument, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Cancel every process of a run that has not ended.

    Example: tianyu run cancel 3
    """
    with open_database(database) as opened:
        with opened.read() as connection:
            read_run(connection, run)
        stopped, asked = opened.retry(
            lambda c: operator.cancel(c, operator.processes_of_run(c, run))
        )
    if as_json:
        print_json({"run": run, "cancelled": stopped, "asked_to_stop": asked})
    else:
        typer.echo(
            f"run {run}: {plural(stopped, 'process', 'processes')} cancelled, "
            f"{plural(asked, 'running one')} asked to stop"
        )


@app.command("rescue")
def rescue(run: RunArgument, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Give every failed or cancelled process of a run a new budget of attempts.

    What succeeded is never repeated; what was blocked is freed as soon as a manager runs.

    Example: tianyu run rescue 3
    """
    with open_database(database) as opened:
        with opened.read() as connection:
            read_run(connection, run)
        revived = opened.retry(
            lambda c: operator.rescue(c, operator.processes_of_run(c, run, RESCUABLE))
        )
    if as_json:
        print_json({"run": run, "rescued": revived})
    else:
        typer.echo(f"run {run}: {plural(revived, 'process', 'processes')} rescued")


app.command("compare")(compare_command)
app.command("purge")(purge_command)
