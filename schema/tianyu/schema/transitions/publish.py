"""Publishing a graph: all of its processes and edges in one transaction, or nothing."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, case, insert, select, update

from tianyu.schema.dialects import bulk_insert, now_us
from tianyu.schema.engine_tables import Dependency, Process, Run
from tianyu.schema.errors import GraphError
from tianyu.schema.states import State
from tianyu.schema.transitions.batches import in_batches


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


@dataclass(frozen=True)
class _Standing:
    """A parent as it stood when its row was locked."""

    has_succeeded: bool
    is_counted: bool


_FIND_RUN = select(Run.id).where(Run.run_key == bindparam("key"))

# Share locks, taken in the order of ids. Without them a parent that finishes between our
# look and our commit would never be subtracted, and its children wait for ever.
_LOCK_PARENTS = (
    select(Process.id, Process.state, Process.bad_counted)
    .where(Process.id.in_(bindparam("ids", expanding=True)))
    .order_by(Process.id)
    .with_for_update(read=True)
)

_pending_after = Process.pending + bindparam("more_pending")
_bad_after = Process.bad_parents + bindparam("more_bad")
# The state comes first: MySQL assigns from left to right and would otherwise see the
# counters after they have been raised.
_RAISE_COUNTERS = (
    update(Process)
    .where(Process.id.in_(bindparam("ids", expanding=True)))
    .ordered_values(
        (
            Process.state,
            case(
                (_bad_after > 0, State.BLOCKED.value),
                (_pending_after > 0, State.WAITING.value),
                else_=State.READY.value,
            ),
        ),
        (Process.pending, _pending_after),
        (Process.bad_parents, _bad_after),
    )
)


def run_key(recipe: str, version: int, parameters: Any, inputs: Sequence[str]) -> str:
    """Return the identity of a run: publishing the same thing twice gives the same key.

    Parameters
    ----------
    recipe : str
    version : int
    parameters : JSON-compatible
        The order of the keys of mappings does not matter.
    inputs : sequence of str
        Fingerprints of the frames, in order.

    Raises
    ------
    GraphError
        If the parameters hold something that JSON cannot express.
    """
    content = _json([recipe, version, parameters, list(inputs)], f"the run of {recipe}")
    return hashlib.sha256(content.encode()).hexdigest()


def find_run(connection: Connection, key: str) -> int | None:
    """Return the id of the run with this key, or None."""
    return connection.scalar(_FIND_RUN, {"key": key})


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
        If a process is there twice, or a parent is neither earlier in the list nor in the
        database.
    sqlalchemy.exc.IntegrityError
        If a process id is taken.
    """
    new, foreign = _sort_out(processes)
    _insert_processes(connection, run_id, processes, new)
    _insert_edges(connection, processes)
    if foreign:
        # Last, so that the locks on rows that others work with are held shortly.
        _adopt(connection, processes, _lock_parents(connection, foreign))


def _sort_out(processes: Sequence[ProcessSpec]) -> tuple[set[int], set[int]]:
    """Return the ids of the new processes, and of parents that must be there already."""
    new: set[int] = set()
    foreign: set[int] = set()
    for process in processes:
        if process.id in new:
            raise GraphError(f"process {process.id} is in the graph twice; give it one entry")
        foreign.update(set(process.parents) - new)
        new.add(process.id)
    misplaced = foreign & new
    if misplaced:
        raise GraphError(
            f"process {min(misplaced)} is a parent before it is published; the graph has a "
            "cycle or is not sorted parents first"
        )
    return new, foreign


def _insert_processes(
    connection: Connection, run_id: int, processes: Sequence[ProcessSpec], new: set[int]
) -> None:
    names = (
        "id", "run_id", "command", "parameters", "queue_id", "state", "priority", "repeatable",
        "pending", "bad_parents", "bad_counted", "attempt", "failures", "lease_losses",
        "not_before", "dispatch_no", "cancel_requested", "created_us",
    )  # fmt: skip
    now = int(connection.scalar(select(now_us())) or 0)
    rows = []
    for p in processes:
        parents = set(p.parents)
        # Rows with a foreign parent stay waiting until that parent has been looked at.
        state = State.WAITING if parents else State.READY
        parameters = _json(dict(p.parameters), f"process {p.id} ({p.command})")
        rows.append(
            (
                p.id, run_id, p.command, parameters, p.queue_id, state.value, p.priority,
                p.repeatable, len(parents & new), 0, False, 0, 0, 0, 0, 0, False, now,
            )
        )  # fmt: skip
    bulk_insert(connection, Process.__table__, names, rows)  # type: ignore[arg-type]  # a Table


def _insert_edges(connection: Connection, processes: Sequence[ProcessSpec]) -> None:
    edges = [(parent, p.id) for p in processes for parent in sorted(set(p.parents))]
    bulk_insert(connection, Dependency.__table__, ("parent", "child"), edges)  # type: ignore[arg-type]  # a Table


def _lock_parents(connection: Connection, parents: set[int]) -> dict[int, _Standing]:
    standing = {}
    for ids in in_batches(parents):
        for row in connection.execute(_LOCK_PARENTS, {"ids": ids}):
            standing[row.id] = _Standing(row.state == State.SUCCEEDED.value, row.bad_counted)
    missing = parents - standing.keys()
    if missing:
        raise GraphError(f"parent process {min(missing)} does not exist; publish it first")
    return standing


def _adopt(
    connection: Connection, processes: Sequence[ProcessSpec], standing: Mapping[int, _Standing]
) -> None:
    """Count the locked parents in their new children."""
    alike: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for p in processes:
        known = [standing[parent] for parent in set(p.parents) if parent in standing]
        if known:
            pending = sum(not parent.has_succeeded for parent in known)
            # Only those already counted: the blocking rule adds the others when it gets to them.
            bad = sum(parent.is_counted for parent in known)
            alike[pending, bad].append(p.id)
    for (pending, bad), children in alike.items():
        for ids in in_batches(children):
            values = {"ids": ids, "more_pending": pending, "more_bad": bad}
            connection.execute(_RAISE_COUNTERS, values)


def _json(content: Any, owner: str) -> str:
    try:
        return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise GraphError(
            f"parameters of {owner} cannot be written as JSON ({error}); use numbers, texts, "
            "lists and mappings, and null instead of NaN"
        ) from error
