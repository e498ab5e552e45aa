"""What people do to processes: cancel and rescue."""

from collections.abc import Collection

from sqlalchemy import Connection, case, select, update
from sqlalchemy.sql.elements import ColumnElement

from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import Process
from tianyu.schema.states import CANCELLABLE, RESCUABLE, State
from tianyu.schema.transitions.publish import ID_BATCH

_process = Process.__table__


def cancel(connection: Connection, process_ids: Collection[int]) -> tuple[int, int]:
    """Cancel processes: at once where they have not started, by request where they run.

    Returns
    -------
    (int, int)
        How many are cancelled, and how many running ones will be stopped by their worker.
    """
    stopped = asked = 0
    for batch in _batches(process_ids):
        stopped += connection.execute(
            update(Process)
            .where(Process.id.in_(batch), Process.state.in_([s.value for s in CANCELLABLE]))
            .values(
                state=State.CANCELLED.value, finished_us=now_us(), error_text="cancelled by hand"
            )
        ).rowcount
        asked += connection.execute(
            update(Process)
            .where(Process.id.in_(batch), Process.state == State.RUNNING.value)
            .values(cancel_requested=True)
        ).rowcount
    return stopped, asked


def rescue(connection: Connection, process_ids: Collection[int]) -> int:
    """Give failed and cancelled processes a new failure budget and let them go on.

    What succeeded is never repeated; descendants are freed by the blocking rule.

    Returns
    -------
    int
        Number of processes that were revived.
    """
    revived = 0
    for batch in _batches(process_ids):
        statement = (
            update(_process)  # type: ignore[arg-type]  # a Table
            .where(_process.c.id.in_(batch), _process.c.state.in_([s.value for s in RESCUABLE]))
            .values(
                state=_resting_state(),
                failures=0,
                lease_losses=0,
                not_before=0,
                cancel_requested=False,
                error_kind=None,
                error_text=None,
                finished_us=None,
            )
        )
        revived += connection.execute(statement).rowcount
    return revived


def processes_of_run(
    connection: Connection, run_id: int, states: Collection[State] | None = None
) -> list[int]:
    """Return the ids of a run's processes in ascending order, of some states or all."""
    query = select(Process.id).where(Process.run_id == run_id).order_by(Process.id)
    if states is not None:
        query = query.where(Process.state.in_([s.value for s in states]))
    return list(connection.scalars(query))


def _resting_state() -> ColumnElement[str]:
    return case(
        (_process.c.bad_parents > 0, State.BLOCKED.value),
        (_process.c.pending > 0, State.WAITING.value),
        else_=State.READY.value,
    )


def _batches(process_ids: Collection[int]) -> list[list[int]]:
    ids = sorted(process_ids)
    return [ids[start : start + ID_BATCH] for start in range(0, len(ids), ID_BATCH)]
