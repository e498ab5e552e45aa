"""The processes that a point goes back to, who ran them, and with which software."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from tianyu.cli.words import US_PER_S, utc_of
from tianyu.schema import pid
from tianyu.schema.tables import Attempt, Dependency, Process, Worker
from tianyu.schema.transitions.batches import in_batches

LAST_STEP = "relative_photometry"
"""Whatever a point depends on comes before it; what comes after only looks at points."""


@dataclass(frozen=True)
class Involved:
    """One process with its last attempt; a list of frames is given by its length."""

    process: str
    run: int
    step: str
    state: str
    attempt: int
    worker: str | None
    code_version: str | None
    software: Mapping[str, str] | None
    started: datetime | None
    finished: datetime | None
    wall_s: float | None
    cpu_s: float | None
    parameters: Mapping[str, Any]


def involved_processes(connection: Connection, run: int, image_id: int) -> list[Involved]:
    """Return every process that one frame's points go back to, in the order of the graph.

    All ancestors of the relative photometry, masters of other runs among them, but of those that
    work on some of the frames only the ones that worked on this frame.
    """
    last = set(
        connection.scalars(
            select(Process.id).where(Process.run_id == run, Process.command == LAST_STEP)
        )
    )
    start = last or set(connection.scalars(select(Process.id).where(Process.run_id == run)))
    rows = _rows(connection, start | _ancestors(connection, start))
    concerned = [
        row
        for row in rows
        if row.run_id != run or image_id in row.parameters.get("frames", [image_id])
    ]
    return [_involved(row) for row in sorted(concerned, key=lambda row: int(row.id))]


def _ancestors(connection: Connection, start: set[int]) -> set[int]:
    found: set[int] = set()
    edge = start
    while edge:
        above: set[int] = set()
        for ids in in_batches(sorted(edge)):
            query = select(Dependency.parent).where(Dependency.child.in_(ids))
            above |= set(connection.scalars(query))
        edge = above - found
        found |= edge
    return found


def _rows(connection: Connection, process_ids: Iterable[int]) -> list[Row[Any]]:
    query = (
        select(
            Process.__table__,
            Worker.host,
            Worker.os_pid,
            Worker.code_version,
            Worker.software,
            Attempt.started_us.label("began_us"),
            Attempt.finished_us.label("ended_us"),
            Attempt.cpu_s,
        )
        .outerjoin(
            Attempt, (Attempt.process_id == Process.id) & (Attempt.number == Process.attempt)
        )
        .outerjoin(Worker, Worker.id == Attempt.worker_id)
    )
    found: list[Row[Any]] = []
    for ids in in_batches(sorted(process_ids)):
        found += connection.execute(query.where(Process.id.in_(ids))).all()
    return found


def _involved(row: Row[Any]) -> Involved:
    parameters = dict(row.parameters)
    if "frames" in parameters:
        parameters["frames"] = len(parameters["frames"])
    wall_s = None
    if row.began_us is not None and row.ended_us is not None:
        wall_s = (row.ended_us - row.began_us) / US_PER_S
    return Involved(
        process=pid.to_text(row.id),
        run=row.run_id,
        step=row.command,
        state=row.state,
        attempt=row.attempt,
        worker=f"{row.host}:{row.os_pid}" if row.host else None,
        code_version=row.code_version,
        software=row.software,
        started=utc_of(row.began_us),
        finished=utc_of(row.ended_us),
        wall_s=wall_s,
        cpu_s=row.cpu_s,
        parameters=parameters,
    )
