"""Taking processes back from workers that vanished."""

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, case, insert, select, update

from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import Attempt, Process
from tianyu.schema.states import ErrorKind, Outcome, State


@dataclass(frozen=True)
class Reaped:
    """A process taken back, and where it went."""

    process_id: int
    state: State


_EXPIRED = (
    select(
        Process.id,
        Process.attempt,
        Process.lease_losses,
        Process.repeatable,
        Process.cancel_requested,
        Process.worker_id,
        Process.claim_token,
        Process.started_us,
    )
    .where(Process.state == State.RUNNING.value, Process.lease_until < now_us())
    .order_by(Process.lease_until)
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)

_TAKE_BACK = (
    update(Process)
    .where(
        Process.id == bindparam("pid"),
        Process.state == State.RUNNING.value,
        Process.claim_token == bindparam("token"),
        Process.lease_until < now_us(),
    )
    .values(
        state=bindparam("to_state"),
        lease_losses=Process.lease_losses + 1,
        lease_until=None,
        claim_token=None,
        finished_us=case((bindparam("is_end"), now_us()), else_=None),
        error_kind=bindparam("kind"),
        error_text=bindparam("text"),
    )
)


def reap(connection: Connection, *, budget: int, limit: int = 100) -> list[Reaped]:
    """End the attempts whose lease has expired.

    The caller must have polled successfully for one full lease before: after a stall of the
    database every lease looks expired.

    Parameters
    ----------
    connection : Connection
        In a writing transaction.
    budget : int
        Lost leases after which a process fails.
    limit : int
        Most processes in one transaction.

    Returns
    -------
    list of Reaped
        Call again, each time in a transaction, until it is empty.
    """
    reaped = []
    for row in connection.execute(_EXPIRED, {"limit": limit}).all():
        state, text = _verdict(row.repeatable, row.cancel_requested, row.lease_losses + 1, budget)
        values = {
            "pid": row.id,
            "token": row.claim_token,
            "to_state": state.value,
            "is_end": state is not State.READY,
            "kind": ErrorKind.LEASE_LOST.value,
            "text": text,
        }
        if connection.execute(_TAKE_BACK, values).rowcount != 1:
            continue
        connection.execute(
            insert(Attempt).values(
                process_id=row.id,
                number=row.attempt,
                outcome=Outcome.LEASE_LOST.value,
                worker_id=row.worker_id,
                claim_token=row.claim_token,
                started_us=row.started_us,
                finished_us=now_us(),
                error_kind=ErrorKind.LEASE_LOST.value,
                error_text=text,
            )
        )
        reaped.append(Reaped(row.id, state))
    return reaped


def _verdict(repeatable: bool, cancelled: bool, losses: int, budget: int) -> tuple[State, str]:
    if cancelled:
        return State.CANCELLED, "cancelled; its worker vanished before it could stop it"
    if not repeatable:
        return State.FAILED, "its worker vanished, and this command must not be repeated by itself"
    if losses >= budget:
        return State.FAILED, f"its worker vanished {losses} times; the budget is {budget}"
    return State.READY, f"its worker vanished (time {losses} of {budget}); it will be repeated"
