"""``tianyu dead-letters``: messages that consumers could not use, and what to do about them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import typer
from sqlalchemy import Connection, select

from tianyu.broker.deadletters import DeadLetter, reading
from tianyu.broker.interface import QueueAddress
from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.options import BrokerOption, DatabaseOption, JsonOption
from tianyu.cli.words import clock, plural
from tianyu.schema.pid import to_text
from tianyu.schema.settings import load_settings
from tianyu.schema.states import State
from tianyu.schema.tables import HardwareGroup, Process, Queue, Site
from tianyu.schema.transitions.batches import in_batches

SHOWN_BYTES = 200
"""Of a body; anything may stand in it."""


@dataclass(frozen=True)
class ExplainedLetter:
    """One dead letter in words."""

    queue: str
    site: str
    group: str
    body: str
    since: datetime | None
    process: str | None
    state: str | None
    why: str
    advice: str


def dead_letters_command(
    *,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove those that are shown, once they are.")
    ] = False,
    database: DatabaseOption = None,
    broker: BrokerOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the messages that consumers could not use: where, why, and what to do.

    Nothing is lost with them: a message is only a hint, and a manager sends it again for every
    process that is still queued.

    Example: tianyu dead-letters --remove
    """
    settings = load_settings(database_url=database, broker_url=broker)
    url = settings.broker_address
    if url.startswith("embedded"):
        _show([], as_json=as_json)
        return
    with open_database(database) as opened:
        with opened.read() as connection:
            queues = read_queues(connection)
        with reading(url, queues, remove=remove) as letters:
            with opened.read() as connection:
                states = read_states(connection, {x.process_id for x in letters if x.process_id})
            _show([explain(letter, states) for letter in letters], as_json=as_json)


def read_queues(connection: Connection) -> list[QueueAddress]:
    """Return every queue of the survey."""
    query = (
        select(Queue.id, Site.name, HardwareGroup.name)
        .join(Site, Site.id == Queue.site_id)
        .join(HardwareGroup, HardwareGroup.id == Queue.group_id)
        .order_by(Queue.id)
    )
    return [QueueAddress(*row) for row in connection.execute(query)]


def read_states(connection: Connection, process_ids: Collection[int]) -> dict[int, State]:
    """Return the states of those processes that exist."""
    found = {}
    for ids in in_batches(process_ids):
        query = select(Process.id, Process.state).where(Process.id.in_(ids))
        found.update({row.id: State(row.state) for row in connection.execute(query)})
    return found


def explain(letter: DeadLetter, states: Mapping[int, State]) -> ExplainedLetter:
    """Say why a message is a dead letter, and what to do."""
    state = None if letter.process_id is None else states.get(letter.process_id)
    return ExplainedLetter(
        queue=letter.queue.name,
        site=letter.queue.site,
        group=letter.queue.group,
        body=letter.body[:SHOWN_BYTES].decode("utf-8", "backslashreplace"),
        since=letter.since,
        process=None if letter.process_id is None else to_text(letter.process_id),
        state=None if state is None else state.value,
        why=_why(letter),
        advice=_advice(letter, state),
    )


def _why(letter: DeadLetter) -> str:
    if letter.complaint is not None:
        return f"it cannot be read: {letter.complaint}"
    return {
        "delivery_limit": "it came back too often: consumers took it and died, or lost the broker",
        "maxlen": "its queue was full",
        "expired": "it waited for too long; a policy of the broker says how long",
        "rejected": "a consumer refused it, though this version can read it: versions differ",
    }.get(letter.reason, f"the broker gives the reason {letter.reason!r}")


def _advice(letter: DeadLetter, state: State | None) -> str:
    if letter.complaint is not None:
        return (
            "run one version everywhere, and find out what else sends to this queue; the process "
            "it may have meant is sent again within a minute or so; then use --remove"
        )
    if state is None:
        return "no such process is in this database: another survey uses the same queue; --remove"
    if state is State.QUEUED:
        return "a manager sends it again when the queue is empty; see the logs of consumers"
    return f"the process is {state.value} by now and needs no message; --remove"


def _show(letters: list[ExplainedLetter], *, as_json: bool) -> None:
    if as_json:
        print_json({"dead_letters": letters})
        return
    if not letters:
        typer.echo("no dead letters")
        return
    typer.echo(plural(len(letters), "dead letter"))
    for letter in letters:
        state = (
            f", process {letter.process} ({letter.state or 'unknown'})" if letter.process else ""
        )
        typer.echo(f"\n{letter.queue}, {clock(letter.since)} UTC{state}")
        typer.echo(f"  body:   {_printable(letter.body)}")
        typer.echo(f"  why:    {letter.why}")
        typer.echo(f"  advice: {letter.advice}")


def _printable(text: str) -> str:
    """Return a text without what would move the cursor of a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
