"""Claiming a process, and keeping the claim alive."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, select, update

from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import Process
from tianyu.schema.states import State

US_PER_S = 1_000_000


@dataclass(frozen=True)
class Claim:
    """One process that is ours until its lease runs out."""

    process_id: int
    run_id: int
    command: str
    parameters: Mapping[str, Any]
    attempt: int
    token: str


# Built once: building a statement costs more than running it. Two workers never wait for one
# row: SQLite's writers exclude each other, elsewhere each skips what the other has locked.
_MOST_URGENT = (
    select(
        Process.priority,
        Process.id,
        Process.queue_id,
        Process.run_id,
        Process.command,
        Process.parameters,
        Process.attempt,
        Process.state,
    )
    .where(
        Process.state == bindparam("from_state"),
        Process.queue_id == bindparam("queue_id"),
        Process.not_before <= now_us(),
    )
    .order_by(Process.priority, Process.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)

_CLAIM = (
    update(Process)
    .where(Process.id == bindparam("pid"), Process.state == bindparam("from_state"))
    .values(
        state=State.RUNNING.value,
        attempt=Process.attempt + 1,
        claim_token=bindparam("token"),
        worker_id=bindparam("worker"),
        lease_until=now_us() + bindparam("lease_us"),
        started_us=now_us(),
        cancel_requested=False,
    )
)

_CLAIM_HERE = _CLAIM.where(Process.queue_id.in_(bindparam("queues", expanding=True)))

_READ = select(
    Process.id, Process.run_id, Process.command, Process.parameters, Process.attempt
).where(
    Process.id == bindparam("pid"),
    Process.state == State.RUNNING.value,
    Process.claim_token == bindparam("token"),
)

_HEARTBEAT = (
    update(Process)
    .where(
        Process.id == bindparam("pid"),
        Process.state == State.RUNNING.value,
        Process.claim_token == bindparam("token"),
    )
    .values(lease_until=now_us() + bindparam("lease_us"))
)

# A success keeps its token: between a child's commit and the consumer's hearing of it, the
# claim has ended well and is not lost; stopping the child would hit what it does next.
_HELD = select(
    Process.id,
    and_(Process.state == State.RUNNING.value, Process.cancel_requested).label("is_unwanted"),
).where(
    Process.id == bindparam("pid"),
    Process.state.in_([State.RUNNING.value, State.SUCCEEDED.value]),
    Process.claim_token == bindparam("token"),
)


def claim_next(
    connection: Connection,
    queue_ids: Sequence[int],
    worker_id: str,
    lease_s: float,
    token: str | None = None,
    *,
    from_states: Sequence[State] = (State.READY,),
) -> Claim | None:
    """Claim the most urgent due process of the queues, without any message.

    Smaller priorities come first, and smaller ids among equal ones, whatever their queue.
    What was locked by reading it need not be read again after the update.

    Parameters
    ----------
    connection : Connection
        In a writing transaction.
    queue_ids : sequence of int
    worker_id : str
    lease_s : float
        Length of the lease, seconds.
    token : str, optional
        Secret of the claim, where somebody besides its owner must be able to find it.
    from_states : sequence of State
        ``ready``, and ``queued`` too where a broker carries messages: what was handed to it
        is the most urgent, and its message will find the row taken, as any stale one does.

    Returns
    -------
    Claim or None
        None when nothing is due.
    """
    heads = [
        head
        for queue_id in queue_ids
        for state in from_states
        if (
            head := connection.execute(
                _MOST_URGENT, {"queue_id": queue_id, "from_state": state.value}
            ).one_or_none()
        )
    ]
    if not heads:
        return None
    row = min(heads, key=lambda head: (head.priority, head.id))
    token = token or new_token()
    values = _values(row.id, row.state, worker_id, lease_s, token)
    if connection.execute(_CLAIM, values).rowcount != 1:
        return None
    return Claim(row.id, row.run_id, row.command, row.parameters, row.attempt + 1, token)


def claim_queued(
    connection: Connection,
    process_id: int,
    queue_ids: Collection[int],
    worker_id: str,
    lease_s: float,
    token: str | None = None,
) -> Claim | None:
    """Claim the process that a message hinted at.

    Parameters
    ----------
    connection : Connection
        In a writing transaction.
    process_id : int
    queue_ids : collection of int
        Queues that the worker serves.
    worker_id : str
    lease_s : float
        Length of the lease, seconds.
    token : str, optional
        From :func:`new_token`, drawn before the transaction by whoever repeats it: when the
        answer to a COMMIT was lost, the same token finds the claim that did happen.

    Returns
    -------
    Claim or None
        None when the message is stale: the process is not queued (any more); drop it.
    """
    token = token or new_token()
    values = _values(process_id, State.QUEUED.value, worker_id, lease_s, token)
    connection.execute(_CLAIM_HERE, values | {"queues": list(queue_ids)})
    # My token means mine, now or by an earlier try whose answer was lost.
    return read_claim(connection, process_id, token)


def new_token() -> str:
    """Draw the secret that only the owner of a claim knows."""
    return str(uuid.uuid4())


def _values(
    pid: int, from_state: str, worker_id: str, lease_s: float, token: str
) -> dict[str, object]:
    return {
        "pid": pid,
        "from_state": from_state,
        "token": token,
        "worker": worker_id,
        "lease_us": int(lease_s * US_PER_S),
    }


def read_claim(connection: Connection, process_id: int, token: str) -> Claim | None:
    """Return the claim if the process is running under this token.

    After the answer to a claim's COMMIT was lost, this tells whether it happened.
    """
    row = connection.execute(_READ, {"pid": process_id, "token": token}).one_or_none()
    if row is None:
        return None
    return Claim(row.id, row.run_id, row.command, row.parameters, row.attempt, token)


def heartbeat(connection: Connection, process_id: int, token: str, lease_s: float) -> bool | None:
    """Extend the lease of a claim.

    Returns
    -------
    bool or None
        Whether a person asked to cancel the process; None when the claim is lost and the
        work must stop. A claim that has ended in success is not lost.
    """
    values = {"pid": process_id, "token": token, "lease_us": int(lease_s * US_PER_S)}
    connection.execute(_HEARTBEAT, values)
    row = connection.execute(_HELD, {"pid": process_id, "token": token}).one_or_none()
    return None if row is None else bool(row.is_unwanted)
