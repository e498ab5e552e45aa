"""Ending an attempt: with its products, with a failure, or cancelled; always under its fence."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, insert, literal, select, update

from tianyu.schema.base import Base
from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import Attempt, Dependency, Process
from tianyu.schema.errors import LostClaimError
from tianyu.schema.states import ErrorKind, Outcome, State
from tianyu.schema.transitions.batches import in_batches
from tianyu.schema.transitions.claim import US_PER_S

MAX_BACKOFF_S = 3600.0
BACKOFF_SPREAD = 0.1
ERROR_TEXT_BYTES = 60_000
"""MySQL's TEXT holds 65 535 bytes, and refuses the whole row when given more."""


@dataclass(frozen=True)
class Usage:
    """What an attempt cost."""

    cpu_s: float | None = None
    peak_memory_bytes: int | None = None
    bytes_read: int | None = None
    bytes_written: int | None = None


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed."""

    kind: ErrorKind
    text: str


_FENCE = (
    Process.id == bindparam("pid"),
    Process.state == State.RUNNING.value,
    Process.claim_token == bindparam("token"),
)

_SUCCEED = (
    update(Process)
    .where(*_FENCE)
    .values(
        state=State.SUCCEEDED.value,
        finished_us=now_us(),
        lease_until=None,
        error_kind=None,
        error_text=None,
    )
)

# Locked, so that a wish to cancel cannot arrive between reading the row and leaving it.
_STANDING = (
    select(
        Process.attempt,
        Process.failures,
        Process.worker_id,
        Process.started_us,
        Process.cancel_requested,
    )
    .where(*_FENCE)
    .with_for_update()
)

_LEAVE = (
    update(Process)
    .where(*_FENCE)
    .values(
        state=bindparam("to_state"),
        failures=Process.failures + bindparam("more_failures"),
        not_before=now_us() + bindparam("pause_us"),
        finished_us=case((bindparam("is_end"), now_us()), else_=None),
        lease_until=None,
        claim_token=None,
        error_kind=bindparam("kind"),
        error_text=bindparam("text"),
    )
)

_ATTEMPT = Base.metadata.tables[Attempt.__tablename__]

# Built once, and on the tables: what the mapped classes add to an INSERT costs as much again.
_LOG = insert(_ATTEMPT).values(finished_us=now_us())

# Of a success everything but its cost stands in the row, so that nothing need be read before.
_LOG_SUCCESS = insert(_ATTEMPT).from_select(
    [
        "process_id", "number", "outcome", "worker_id", "claim_token", "started_us",
        "finished_us", "cpu_s", "peak_memory_bytes", "bytes_read", "bytes_written",
    ],
    select(
        Process.id, Process.attempt, literal(Outcome.SUCCEEDED.value), Process.worker_id,
        Process.claim_token, Process.started_us, now_us(), bindparam("cpu_s"),
        bindparam("peak_memory_bytes"), bindparam("bytes_read"), bindparam("bytes_written"),
    ).where(Process.id == bindparam("pid")),
)  # fmt: skip

_CHILDREN = select(Dependency.child).where(Dependency.parent == bindparam("pid"))

# The state comes first: MySQL evaluates the assignments from left to right and would
# otherwise compare the counter after it has been lowered.
_RELEASE_CHILDREN = (
    update(Process)
    .where(Process.id.in_(bindparam("ids", expanding=True)))
    .ordered_values(
        (
            Process.state,
            case(
                (
                    and_(
                        Process.state == State.WAITING.value,
                        Process.pending == 1,
                        Process.bad_parents == 0,
                    ),
                    State.READY.value,
                ),
                else_=Process.state,
            ),
        ),
        (Process.pending, Process.pending - 1),
    )
)

_SUCCEEDED_BY = select(Process.id).where(
    Process.id == bindparam("pid"),
    Process.state == State.SUCCEEDED.value,
    Process.claim_token == bindparam("token"),
)


def succeed(connection: Connection, process_id: int, token: str, usage: Usage) -> int:
    """Mark a process succeeded and let its children go; call it after inserting the products.

    Returns
    -------
    int
        Number of children.

    Raises
    ------
    LostClaimError
        If the claim is no longer ours: the caller must roll back, products included.
    """
    if connection.execute(_SUCCEED, {"pid": process_id, "token": token}).rowcount != 1:
        raise LostClaimError(f"the claim on process {process_id} belongs to somebody else by now")
    connection.execute(_LOG_SUCCESS, {"pid": process_id, **vars(usage)})
    # Read after our row was locked: a child that is being published either waits for us and
    # sees the success, or is committed and seen here.
    children = list(connection.scalars(_CHILDREN, {"pid": process_id}))
    for ids in in_batches(children):
        connection.execute(_RELEASE_CHILDREN, {"ids": ids})
    return len(children)


def has_succeeded(connection: Connection, process_id: int, token: str) -> bool:
    """Tell whether the attempt of this token is the one that succeeded.

    After the answer to the COMMIT of :func:`succeed` was lost, this says whether it happened.
    """
    return connection.scalar(_SUCCEEDED_BY, {"pid": process_id, "token": token}) is not None


def fail(
    connection: Connection,
    process_id: int,
    token: str,
    failure: Failure,
    usage: Usage,
    *,
    budget: int,
) -> State:
    """End an attempt with an error: back to ``ready`` after a pause, or failed for good.

    Where a person asked to cancel it meanwhile, it is cancelled instead of tried again.

    Returns
    -------
    State
        Where the process went.

    Raises
    ------
    LostClaimError
        If the claim is no longer ours.
    """
    standing = _standing(connection, process_id, token)
    failures = standing["failures"] + 1
    if failure.kind is ErrorKind.PERMANENT or failures >= budget:
        state = State.FAILED
    else:
        state = _onward(standing)
    pause_s = backoff_s(failures) if state is State.READY else 0.0
    _leave(connection, process_id, token, state, failure, more_failures=1, pause_s=pause_s)
    _log(connection, process_id, token, standing, Outcome.FAILED, usage, failure)
    return state


def cancel_running(connection: Connection, process_id: int, token: str, usage: Usage) -> None:
    """End an attempt that was stopped because a person cancelled the process.

    Raises
    ------
    LostClaimError
        If the claim is no longer ours.
    """
    standing = _standing(connection, process_id, token)
    _leave(connection, process_id, token, State.CANCELLED, None)
    _log(connection, process_id, token, standing, Outcome.CANCELLED, usage)


def release(
    connection: Connection, process_id: int, token: str, usage: Usage, *, pause_s: float = 0.0
) -> State:
    """Give a claim back unfinished; it costs no budget.

    Returns
    -------
    State
        Where the process went: ``ready``, or ``cancelled`` if a person asked for it meanwhile.

    Raises
    ------
    LostClaimError
        If the claim is no longer ours.
    """
    standing = _standing(connection, process_id, token)
    state = _onward(standing)
    _leave(connection, process_id, token, state, None, pause_s=pause_s)
    _log(connection, process_id, token, standing, Outcome.RELEASED, usage)
    return state


def backoff_s(failures: int) -> float:
    """Return the pause before the next try: 2^failures seconds up to an hour, ±10 %."""
    pause = min(2.0 ** min(failures, 30), MAX_BACKOFF_S)
    return pause * random.uniform(1 - BACKOFF_SPREAD, 1 + BACKOFF_SPREAD)  # noqa: S311 - jitter


def _onward(standing: Mapping[str, Any]) -> State:
    # The next claim would forget the wish to cancel.
    return State.CANCELLED if standing["cancel_requested"] else State.READY


def _standing(connection: Connection, process_id: int, token: str) -> dict[str, Any]:
    row = connection.execute(_STANDING, {"pid": process_id, "token": token}).mappings().first()
    if row is None:
        raise LostClaimError(f"the claim on process {process_id} belongs to somebody else by now")
    return dict(row)


def _leave(
    connection: Connection,
    process_id: int,
    token: str,
    state: State,
    failure: Failure | None,
    *,
    more_failures: int = 0,
    pause_s: float = 0.0,
) -> None:
    values = {
        "pid": process_id,
        "token": token,
        "to_state": state.value,
        "more_failures": more_failures,
        "pause_us": int(pause_s * US_PER_S),
        "is_end": state in {State.FAILED, State.CANCELLED},
        "kind": failure.kind.value if failure else None,
        "text": _clipped(failure.text) if failure else None,
    }
    if connection.execute(_LEAVE, values).rowcount != 1:
        raise LostClaimError(f"the claim on process {process_id} was lost before it ended")


def _log(
    connection: Connection,
    process_id: int,
    token: str,
    standing: Mapping[str, Any],
    outcome: Outcome,
    usage: Usage,
    failure: Failure | None = None,
) -> None:
    values = {
        "process_id": process_id,
        "number": standing["attempt"],
        "outcome": outcome.value,
        "worker_id": standing["worker_id"],
        "claim_token": token,
        "started_us": standing["started_us"],
        "error_kind": failure.kind.value if failure else None,
        "error_text": _clipped(failure.text) if failure else None,
        "cpu_s": usage.cpu_s,
        "peak_memory_bytes": usage.peak_memory_bytes,
        "bytes_read": usage.bytes_read,
        "bytes_written": usage.bytes_written,
    }
    connection.execute(_LOG, values)


def _clipped(text: str) -> str:
    """Return the text within the limit; of a long one the beginning and the end."""
    # A traceback may quote bytes that are no characters; the database takes only characters.
    content = text.encode("utf-8", "backslashreplace")
    if len(content) > ERROR_TEXT_BYTES:
        half = ERROR_TEXT_BYTES // 2 - 16
        content = content[:half] + b"\n[\xe2\x80\xa6]\n" + content[-half:]
    return content.decode("utf-8", "ignore")
