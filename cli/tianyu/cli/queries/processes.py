"""Everything that is known of one process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select

from tianyu.cli.words import US_PER_S, utc_of
from tianyu.schema import pid
from tianyu.schema.errors import NotFoundError
from tianyu.schema.tables import Attempt, Dependency, HardwareGroup, Process, Queue, Site, Worker

_PROCESS = (
    select(Process, Site.name.label("site"), HardwareGroup.name.label("group_name"))
    .outerjoin(Queue, Queue.id == Process.queue_id)
    .outerjoin(Site, Site.id == Queue.site_id)
    .outerjoin(HardwareGroup, HardwareGroup.id == Queue.group_id)
    .where(Process.id == bindparam("pid"))
)

_RELATIVE = select(Process.id, Process.command, Process.state, Process.run_id)
_PARENTS = (
    _RELATIVE.join(Dependency, Dependency.parent == Process.id)
    .where(Dependency.child == bindparam("pid"))
    .order_by(Process.id)
)
_CHILDREN = (
    _RELATIVE.join(Dependency, Dependency.child == Process.id)
    .where(Dependency.parent == bindparam("pid"))
    .order_by(Process.id)
)

_ATTEMPTS = (
    select(Attempt, Worker.host, Worker.os_pid)
    .outerjoin(Worker, Worker.id == Attempt.worker_id)
    .where(Attempt.process_id == bindparam("pid"))
    .order_by(Attempt.number)
)


@dataclass(frozen=True)
class Relative:
    """A parent or child of a process."""

    process: str
    step: str
    state: str
    run: int


@dataclass(frozen=True)
class EndedAttempt:
    """One ended attempt and what it cost."""

    number: int
    outcome: str
    worker: str | None
    started: datetime | None
    finished: datetime | None
    wall_s: float | None
    cpu_s: float | None
    peak_memory_bytes: int | None
    bytes_read: int | None
    bytes_written: int | None
    error_kind: str | None
    error_text: str | None


@dataclass(frozen=True)
class ProcessDetail:
    """One process with its parameters, its relatives and its attempts."""

    process: str
    run: int
    step: str
    state: str
    site: str | None
    group: str | None
    priority: int
    repeatable: bool
    published: datetime | None
    started: datetime | None
    finished: datetime | None
    not_before: datetime | None
    attempts_begun: int
    failures: int
    lease_losses: int
    pending: int
    bad_parents: int
    worker: str | None
    lease_until: datetime | None
    cancel_requested: bool
    error_kind: str | None
    error_text: str | None
    parameters: Mapping[str, Any]
    parents: Sequence[Relative]
    children: Sequence[Relative]
    attempts: Sequence[EndedAttempt]


def parse_process_id(text: str) -> int:
    """Read a process id as a person types it.

    Raises
    ------
    NotFoundError
        If it cannot be one.
    """
    try:
        return pid.from_text(text.strip())
    except ValueError as error:
        raise NotFoundError(f"{error}; `tianyu status` shows those of a run") from error


def read_process(connection: Connection, process_id: int) -> ProcessDetail:
    """Return everything that is known of a process.

    Raises
    ------
    NotFoundError
        If there is none of this id.
    """
    row = connection.execute(_PROCESS, {"pid": process_id}).one_or_none()
    if row is None:
        raise NotFoundError(
            f"there is no process {process_id}; `tianyu status` shows those of a run"
        )
    return ProcessDetail(
        process=pid.to_text(row.id),
        run=row.run_id,
        step=row.command,
        state=row.state,
        site=row.site,
        group=row.group_name,
        priority=row.priority,
        repeatable=bool(row.repeatable),
        published=utc_of(row.created_us),
        started=utc_of(row.started_us),
        finished=utc_of(row.finished_us),
        not_before=utc_of(row.not_before or None),
        attempts_begun=row.attempt,
        failures=row.failures,
        lease_losses=row.lease_losses,
        pending=row.pending,
        bad_parents=row.bad_parents,
        worker=_worker_name(connection, row.worker_id),
        lease_until=utc_of(row.lease_until),
        cancel_requested=bool(row.cancel_requested),
        error_kind=row.error_kind,
        error_text=row.error_text,
        parameters=row.parameters,
        parents=_relatives(connection, _PARENTS, process_id),
        children=_relatives(connection, _CHILDREN, process_id),
        attempts=_attempts(connection, process_id),
    )


def _worker_name(connection: Connection, worker_id: str | None) -> str | None:
    query = select(Worker.host, Worker.os_pid).where(Worker.id == worker_id)
    row = connection.execute(query).one_or_none()
    return worker_id if row is None else f"{row.host}:{row.os_pid}"


def _relatives(connection: Connection, query: Any, process_id: int) -> list[Relative]:
    rows = connection.execute(query, {"pid": process_id})
    return [Relative(pid.to_text(r.id), r.command, r.state, r.run_id) for r in rows]


def _attempts(connection: Connection, process_id: int) -> list[EndedAttempt]:
    return [
        EndedAttempt(
            number=row.number,
            outcome=row.outcome,
            worker=f"{row.host}:{row.os_pid}" if row.host else row.worker_id,
            started=utc_of(row.started_us),
            finished=utc_of(row.finished_us),
            wall_s=(row.finished_us - row.started_us) / US_PER_S if row.started_us else None,
            cpu_s=row.cpu_s,
            peak_memory_bytes=row.peak_memory_bytes,
            bytes_read=row.bytes_read,
            bytes_written=row.bytes_written,
            error_kind=row.error_kind,
            error_text=row.error_text,
        )
        for row in connection.execute(_ATTEMPTS, {"pid": process_id})
    ]
