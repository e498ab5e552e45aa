"""Handing ready processes to a broker, and taking them back when a message is lost.

The ready row is the outbox. A manager takes rows and commits, then sends one message each,
then confirms. It may die between any two of these: a row that nobody confirmed goes back to
``ready``, and a message that was sent nevertheless finds a row that is not queued, or one
that is queued again, and both are harmless. ``dispatch_no`` tells the dispatches of one
process apart, so that a late confirm of an earlier one does not vouch for a later message.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select, update
from sqlalchemy.sql import Select

from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import Process
from tianyu.schema.states import State
from tianyu.schema.transitions.batches import ID_BATCH, in_batches
from tianyu.schema.transitions.claim import US_PER_S

CONFIRM_PATIENCE_S = 30.0
"""A broker confirms within milliseconds; after this the manager that sent it must be dead."""

DELIVERY_PATIENCE_S = 60.0
"""A confirmed message of an empty queue that nobody claimed for so long was lost."""


@dataclass(frozen=True)
class Dispatch:
    """One handing over of a process to the broker."""

    process_id: int
    dispatch_no: int


# Two managers never take the same row: SQLite's writers exclude each other, elsewhere each
# skips what the other has locked.
_READY = (
    select(Process.id, Process.dispatch_no)
    .where(
        Process.state == State.READY.value,
        Process.queue_id == bindparam("queue_id"),
        Process.not_before <= now_us(),
    )
    .order_by(Process.priority, Process.id)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)

_ANY_READY = (
    select(Process.id)
    .where(
        Process.state == State.READY.value,
        Process.queue_id == bindparam("queue_id"),
        Process.not_before <= now_us(),
    )
    .limit(1)
)

_TAKE = (
    update(Process)
    .where(
        Process.id.in_(bindparam("ids", expanding=True)),
        Process.state == State.READY.value,
    )
    .values(
        state=State.QUEUED.value,
        dispatch_no=Process.dispatch_no + 1,
        dispatched_at=now_us(),
        confirmed_at=None,
    )
)

_CONFIRM = (
    update(Process)
    .where(
        Process.id.in_(bindparam("ids", expanding=True)),
        Process.dispatch_no == bindparam("number"),
        Process.state == State.QUEUED.value,
    )
    .values(confirmed_at=now_us())
)

_UNCONFIRMED = (
    select(Process.id)
    .where(
        Process.state == State.QUEUED.value,
        Process.confirmed_at.is_(None),
        Process.dispatched_at < now_us() - bindparam("age_us"),
    )
    .limit(ID_BATCH)
    .with_for_update(skip_locked=True)
)

_UNDELIVERED = (
    select(Process.id)
    .where(
        Process.state == State.QUEUED.value,
        Process.queue_id == bindparam("queue_id"),
        Process.confirmed_at < now_us() - bindparam("age_us"),
    )
    .limit(ID_BATCH)
    .with_for_update(skip_locked=True)
)

_RETURN = (
    update(Process)
    .where(
        Process.id.in_(bindparam("ids", expanding=True)),
        Process.state == State.QUEUED.value,
    )
    .values(state=State.READY.value, dispatched_at=None, confirmed_at=None)
)

_COUNT_QUEUED = select(func.count()).where(
    Process.state == State.QUEUED.value, Process.queue_id == bindparam("queue_id")
)


def has_ready(connection: Connection, queue_id: int) -> bool:
    """Tell whether a process of a queue is due; it locks nothing and keeps nobody waiting."""
    return connection.scalar(_ANY_READY, {"queue_id": queue_id}) is not None


def take_ready(connection: Connection, queue_id: int, limit: int) -> list[Dispatch]:
    """Mark the most urgent due processes of a queue as queued.

    Commit before sending the messages: a message must never overtake its row.

    Parameters
    ----------
    connection : Connection
        In a writing transaction.
    queue_id : int
    limit : int
        Most processes to take; none if it is not positive.

    Returns
    -------
    list of Dispatch
        Most urgent first: send in this order.
    """
    if limit <= 0:
        return []
    rows = connection.execute(_READY, {"queue_id": queue_id, "limit": limit}).all()
    for ids in in_batches([row.id for row in rows]):
        connection.execute(_TAKE, {"ids": ids})
    return [Dispatch(row.id, row.dispatch_no + 1) for row in rows]


def confirm(connection: Connection, dispatches: Collection[Dispatch]) -> int:
    """Note that the broker holds the messages of these dispatches.

    Returns
    -------
    int
        How many still stood where they were left; the others were claimed, cancelled or
        returned meanwhile.
    """
    by_number: defaultdict[int, list[int]] = defaultdict(list)
    for dispatch in dispatches:
        by_number[dispatch.dispatch_no].append(dispatch.process_id)
    confirmed = 0
    for number, ids in sorted(by_number.items()):
        for batch in in_batches(ids):
            confirmed += connection.execute(_CONFIRM, {"ids": batch, "number": number}).rowcount
    return confirmed


def return_unconfirmed(connection: Connection, older_than_s: float = CONFIRM_PATIENCE_S) -> int:
    """Let processes be dispatched anew whose message was never confirmed.

    Not to be called while the broker blocks publishing: confirms are late then, not lost.

    Returns
    -------
    int
        Number of processes, at most :data:`ID_BATCH`; call again, each time in a transaction,
        until it is 0.
    """
    return _give_back(connection, _UNCONFIRMED, {"age_us": int(older_than_s * US_PER_S)})


def return_lost(
    connection: Connection, queue_id: int, older_than_s: float = DELIVERY_PATIENCE_S
) -> int:
    """Let processes be dispatched anew whose queue at the broker turned out to be empty.

    Returns
    -------
    int
        Number of processes, at most :data:`ID_BATCH`; call again, each time in a transaction,
        until it is 0.
    """
    values = {"queue_id": queue_id, "age_us": int(older_than_s * US_PER_S)}
    return _give_back(connection, _UNDELIVERED, values)


def count_queued(connection: Connection, queue_id: int) -> int:
    """Return how many processes of a queue are in the hands of the broker."""
    return int(connection.scalar(_COUNT_QUEUED, {"queue_id": queue_id}) or 0)


def _give_back(connection: Connection, statement: Select[int], values: dict[str, int]) -> int:
    ids = list(connection.scalars(statement, values))
    # By a list of ids: with a sub-select MariaDB would scan the whole table.
    for batch in in_batches(ids):
        connection.execute(_RETURN, {"ids": batch})
    return len(ids)
