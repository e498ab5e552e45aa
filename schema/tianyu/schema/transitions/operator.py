"""What people do to processes: cancel and rescue."""

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, case, select, update

from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import Process
from tianyu.schema.states import CANCELLABLE, RESCUABLE, State
from tianyu.schema.transitions.batches import in_batches

_BY_IDS = Process.id.in_(bindparam("ids", expanding=True))

# Locked, so that none slips from queued to running, or from running back to ready, between
# the two updates and is missed by both.
_LOCK = select(Process.id, Process.state).where(_BY_IDS).order_by(Process.id).with_for_update()

_CANCEL = (
    update(Process)
    .where(_BY_IDS)
    .values(
        state=State.CANCELLED.value,
        finished_us=now_us(),
        error_kind=None,
        error_text="cancelled by hand",
    )
)

_REQUEST = update(Process).where(_BY_IDS).values(cancel_requested=True)

_RESCUE = (
    update(Process)
    .where(_BY_IDS, Process.state.in_(sorted(state.value for state in RESCUABLE)))
    .values(
        state=case(
            (Process.bad_parents > 0, State.BLOCKED.value),
            (Process.pending > 0, State.WAITING.value),
            else_=State.READY.value,
        ),
        failures=0,
        lease_losses=0,
        not_before=0,
        cancel_requested=False,
        error_kind=None,
        error_text=None,
        finished_us=None,
    )
)


def cancel(connection: Connection, process_ids: Collection[int]) -> tuple[int, int]:
    """Cancel processes: at once where they have not started, by request where they run.

    Returns
    -------
    (int, int)
        How many are cancelled, and how many running ones will be stopped by their worker.
    """
    stopped = asked = 0
    for ids in in_batches(process_ids):
        states = {row.id: State(row.state) for row in connection.execute(_LOCK, {"ids": ids})}
        idle = [pid for pid, state in states.items() if state in CANCELLABLE]
        running = [pid for pid, state in states.items() if state is State.RUNNING]
        if idle:
            stopped += connection.execute(_CANCEL, {"ids": idle}).rowcount
        if running:
            asked += connection.execute(_REQUEST, {"ids": running}).rowcount
    return stopped, asked


def rescue(connection: Connection, process_ids: Collection[int]) -> int:
    """Give failed and cancelled processes a new failure budget and let them go on.

    What succeeded is never repeated; descendants are freed by the blocking rule.

    Returns
    -------
    int
        Number of processes that were revived.
    """
    batches = in_batches(process_ids)
    return sum(connection.execute(_RESCUE, {"ids": ids}).rowcount for ids in batches)


def processes_of_run(
    connection: Connection, run_id: int, states: Collection[State] | None = None
) -> list[int]:
    """Return the ids of a run's processes in ascending order, of some states or all."""
    query = select(Process.id).where(Process.run_id == run_id).order_by(Process.id)
    if states is not None:
        query = query.where(Process.state.in_([s.value for s in states]))
    return list(connection.scalars(query))
