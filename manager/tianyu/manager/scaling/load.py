"""How much work a group has, by the database: what can be done now and what is being done."""

from sqlalchemy import Connection, func, or_, select

from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import Process
from tianyu.schema.states import State

HANDED_OUT = (State.QUEUED.value, State.RUNNING.value)


def load_of(connection: Connection, queue_id: int, enough: int) -> int:
    """Return the number of processes that are ready and due, queued or running.

    Parameters
    ----------
    connection : Connection
    queue_id : int
    enough : int
        Counting stops here: a million ready processes cost no more than a few.
    """
    # What waits for its back-off cannot be begun, however many consumers there are.
    is_due = (Process.state == State.READY.value) & (Process.not_before <= now_us())
    some = (
        select(Process.id)
        .where(Process.queue_id == queue_id, or_(is_due, Process.state.in_(HANDED_OUT)))
        .limit(enough)
        .subquery()
    )
    return int(connection.scalar(select(func.count()).select_from(some)) or 0)
