"""Publishing a graph: all of its processes and edges in one transaction, or nothing."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, case, insert, select, text, update

from tianyu.schema.dialects import bulk_insert, now_us, share_lock_suffix
from tianyu.schema.engine_tables import Dependency, Process, Run
from tianyu.schema.errors import GraphError
from tianyu.schema.states import BAD, State

ID_BATCH = 500
"""Ids in one IN list: within every driver's limit, and MySQL still uses the primary key."""


@dataclass(frozen=True)
class ProcessSpec:
    """One process to be published; ``parents`` may be new or already published."""

    id: int
    command: str
    parameters: Mapping[str, Any]
    queue_id: int
    parents: tuple[int, ...] = ()
    priority: int = 100
    repeatable: bool = True


@dataclass(frozen=True)
class RunSpec:
    """A run and its processes, parents before children."""

    run_key: str
    recipe: str
    recipe_version: int
    parameters: Mapping[str, Any]
    code_version: str
    processes: Sequence[ProcessSpec] = field(default_factory=tuple)


def run_key(recipe: str, version: int, parameters: Any, inputs: Sequence[str]) -> str:
    """Return the identity of a run: publishing the same thing twice gives the same key.

    Parameters
    ----------
    recipe : str
    version : int
    parameters : JSON-compatible
    inputs : sequence of str
        Fingerprints of the frames, in order.
    """
    content = json.dumps(
        [recipe, version, parameters, list(inputs)], sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(content.encode()).hexdigest()


def find_run(connection: Connection, key: str) -> int | None:
    """Return the id of the run with this key, or None."""
    return connection.scalar(select(Run.id).where(Run.run_key == key))


def insert_run(connection: Connection, spec: RunSpec) -> int:
    """Insert a run's row and return its id.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        If the run key is there already: somebody else published the same run meanwhile.
    """
    statement = insert(Run).values(
        run_key=spec.run_key,
        recipe=spec.recipe,
        recipe_version=spec.recipe_version,
        parameters=dict(spec.parameters),
        code_version=spec.code_version,
        created_us=now_us(),
    )
    result = connection.execute(statement)
    key = result.inserted_primary_key
    if key is None:
        raise GraphError("the database returned no id for the new run")
    return int(key[0])


def insert_graph(connection: Connection, run_id: int, processes: Sequence[ProcessSpec]) -> None:
    """Insert processes and edges; afterwards hook them on to parents that existed before.

    Raises
    ------
    GraphError
        If a parent is neither earlier in the list nor in the database.
    """
    new: set[int] = set()
    foreign: set[int] = set()
    for process in processes:
        for parent in process.parents:
            if parent not in new:
                foreign.add(parent)
        if process.id in new:
            raise GraphError(f"process {process.id} is in the graph twice")
        new.add(process.id)
    misplaced = foreign & new
    if misplaced:
        raise GraphError(
            f"process {min(misplaced)} is a parent before it is published; the graph has a "
            "cycle or is not sorted parents first"
        )
    now = connection.scalar(select(now_us()))
    _insert_processes(connection, run_id, processes, new, int(now or 0))
    _insert_edges(connection, processes)
    if foreign:
        _adopt_foreign_parents(connection, processes, sorted(foreign))


def _insert_processes(
    connection: Connection,
    run_id: int,
    processes: Sequence[ProcessSpec],
    new: set[int],
    now: int,
) -> None:
    names = (
        "id", "run_id", "command", "parameters", "queue_id", "state", "priority", "repeatable",
        "pending", "bad_parents", "bad_counted", "attempt", "failures", "lease_losses",
        "not_before", "dispatch_no", "cancel_requested", "created_us",
    )  # fmt: skip
    rows = []
    for p in processes:
        parents = set(p.parents)
        # Rows with a foreign parent stay waiting until that parent has been looked at.
        state = State.WAITING if parents else State.READY
        rows.append(
            (
                p.id, run_id, p.command, json.dumps(dict(p.parameters)), p.queue_id, state.value,
                p.priority, p.repeatable, len(parents & new), 0, False, 0, 0, 0, 0, 0, False, now,
            )
        )  # fmt: skip
    bulk_insert(connection, Process.__table__, names, rows)  # type: ignore[arg-type]  # a Table


def _insert_edges(connection: Connection, processes: Sequence[ProcessSpec]) -> None:
    edges = [(parent, p.id) for p in processes for parent in sorted(set(p.parents))]
    bulk_insert(connection, Dependency.__table__, ("parent", "child"), edges)  # type: ignore[arg-type]  # a Table


def _adopt_foreign_parents(
    connection: Connection, processes: Sequence[ProcessSpec], foreign: Sequence[int]
) -> None:
    """Count the parents that existed before, under a share lock taken in the order of ids.

    Taken last, so that the locks are short; without them a parent that finishes between our
    look and our commit would never be subtracted, and its children wait for ever.
    """
    states: dict[int, tuple[State, bool]] = {}
    suffix = share_lock_suffix(connection.dialect)
    for start in range(0, len(foreign), ID_BATCH):
        query = select(Process.id, Process.state, Process.bad_counted).where(
            Process.id.in_(foreign[start : start + ID_BATCH])
        )
        if suffix:
            query = query.order_by(Process.id).suffix_with(text(suffix))
        for row in connection.execute(query):
            states[row.id] = (State(row.state), bool(row.bad_counted))
    missing = [pid for pid in foreign if pid not in states]
    if missing:
        raise GraphError(f"parent process {missing[0]} does not exist; publish it first")
    _raise_counters(connection, processes, states)


def _raise_counters(
    connection: Connection,
    processes: Sequence[ProcessSpec],
    states: Mapping[int, tuple[State, bool]],
) -> None:
    changes = []
    for p in processes:
        known = [states[parent] for parent in set(p.parents) if parent in states]
        if not known:
            continue
        pending = sum(state is not State.SUCCEEDED for state, _ in known)
        # Only those already counted: the blocking rule adds the others when it gets to them.
        bad = sum(counted for _, counted in known)
        changes.append({"pid": p.id, "more_pending": pending, "more_bad": bad})
    table = Process.__table__
    statement = (
        update(table)  # type: ignore[arg-type]  # a Table
        .where(table.c.id == bindparam("pid"))
        .ordered_values(
            (
                "state",
                case(
                    (table.c.bad_parents + bindparam("more_bad") > 0, State.BLOCKED.value),
                    (table.c.pending + bindparam("more_pending") > 0, State.WAITING.value),
                    else_=State.READY.value,
                ),
            ),
            ("pending", table.c.pending + bindparam("more_pending")),
            ("bad_parents", table.c.bad_parents + bindparam("more_bad")),
        )
    )
    if changes:
        connection.execute(statement, changes)


__all__ = ["BAD", "ID_BATCH", "ProcessSpec", "RunSpec", "find_run", "insert_graph", "insert_run"]
