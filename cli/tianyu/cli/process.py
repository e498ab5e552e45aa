"""``tianyu process``: show, retry and cancel one process."""

from typing import Annotated

import typer

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import standard_output
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.cli.queries.processes import parse_process_id, read_process
from tianyu.cli.render.process import process_view
from tianyu.schema.database import Database
from tianyu.schema.errors import TianyuError
from tianyu.schema.pid import to_text
from tianyu.schema.states import CANCELLABLE, RESCUABLE, State
from tianyu.schema.transitions import operator

app = typer.Typer(
    help="Show, retry and cancel one process.\n\nExample: tianyu process show 1766100000000123456",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)

PidArgument = Annotated[str, typer.Argument(metavar="PID", help="Id of the process.")]


class WrongStateError(TianyuError):
    """The process is not in a state in which this can be done."""


@app.command("show")
def show(pid: PidArgument, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Show everything of a process: parameters, relatives, attempts, error.

    Example: tianyu process show 1766100000000123456
    """
    process_id = parse_process_id(pid)
    with open_database(database) as opened, opened.read() as connection:
        detail = read_process(connection, process_id)
    if as_json:
        print_json(detail)
    else:
        standard_output().print(process_view(detail), soft_wrap=True)


@app.command("retry")
def retry(pid: PidArgument, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Give a failed or cancelled process a new budget of attempts.

    What it blocks is freed as soon as a manager runs.

    Example: tianyu process retry 1766100000000123456
    """
    process_id = parse_process_id(pid)
    with open_database(database) as opened:
        state = _state(opened, process_id)
        if state not in RESCUABLE:
            raise WrongStateError(f"process {pid} is {state.value}; {_ADVICE[state]}")
        opened.retry(lambda connection: operator.rescue(connection, [process_id]))
        now = _state(opened, process_id)
    _say(f"process {pid} was {state.value} and is {now.value} now", process_id, now, as_json)


@app.command("cancel")
def cancel(pid: PidArgument, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """Cancel a process; its descendants become blocked.

    One that runs is asked to stop; if it finishes first, it has succeeded.

    Example: tianyu process cancel 1766100000000123456
    """
    process_id = parse_process_id(pid)
    with open_database(database) as opened:
        state = _state(opened, process_id)
        if state not in CANCELLABLE and state is not State.RUNNING:
            raise WrongStateError(f"process {pid} has ended ({state.value}); nothing to cancel")
        _, asked = opened.retry(lambda connection: operator.cancel(connection, [process_id]))
        now = _state(opened, process_id)
    text = "is asked to stop" if asked else f"was {state.value} and is {now.value} now"
    _say(f"process {pid} {text}", process_id, now, as_json)


_ADVICE = {
    State.BLOCKED: "retry the ancestor that failed, `tianyu status` names it",
    State.SUCCEEDED: "what succeeded is never repeated",
    State.RUNNING: "wait for it, or cancel it first",
    State.WAITING: "it starts by itself when its parents have succeeded",
    State.READY: "it starts by itself when a worker is free",
    State.QUEUED: "it starts by itself when a worker is free",
}
"""What to do instead of retrying."""


def _state(database: Database, process_id: int) -> State:
    with database.read() as connection:
        return State(read_process(connection, process_id).state)


def _say(text: str, process_id: int, state: State, as_json: bool) -> None:
    if as_json:
        print_json({"process": to_text(process_id), "state": state})
    else:
        typer.echo(text)
