"""What runs at this moment, since when, and where."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from tianyu.cli.words import US_PER_S, utc_of
from tianyu.schema.dialects import now_us
from tianyu.schema.pid import to_text
from tianyu.schema.states import State
from tianyu.schema.tables import Process, Worker

_RUNNING = (
    select(
        Process.id,
        Process.command,
        Process.attempt,
        Process.started_us,
        Process.lease_until,
        Process.cancel_requested,
        Process.worker_id,
        Worker.host,
        Worker.os_pid,
        now_us().label("now"),
    )
    .outerjoin(Worker, Worker.id == Process.worker_id)
    .where(Process.run_id == bindparam("run"), Process.state == State.RUNNING.value)
    .order_by(Process.started_us, Process.id)
)


@dataclass(frozen=True)
class RunningProcess:
    """One process that a worker has claimed."""

    process: str
    step: str
    attempt: int
    since: datetime | None
    running_s: float | None
    worker: str | None
    """Host and process number of the worker, or its id when it is not registered."""
    lease_left_s: float | None
    """Negative: the worker has not been heard of for longer than its lease."""
    cancel_requested: bool


def read_running(connection: Connection, run: int) -> list[RunningProcess]:
    """Return the running processes of a run, the longest running first."""
    return [
        RunningProcess(
            process=to_text(row.id),
            step=row.command,
            attempt=row.attempt,
            since=utc_of(row.started_us),
            running_s=_seconds(row.started_us, row.now),
            worker=f"{row.host}:{row.os_pid}" if row.host else row.worker_id,
            lease_left_s=_seconds(row.now, row.lease_until),
            cancel_requested=bool(row.cancel_requested),
        )
        for row in connection.execute(_RUNNING, {"run": run})
    ]


def _seconds(start_us: int | None, end_us: int | None) -> float | None:
    return None if start_us is None or end_us is None else (end_us - start_us) / US_PER_S
