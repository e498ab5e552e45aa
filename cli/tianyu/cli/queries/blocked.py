"""Which failed ancestor keeps which processes from starting."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select

from tianyu.schema.pid import to_text
from tianyu.schema.states import State
from tianyu.schema.tables import Dependency, Process
from tianyu.schema.transitions.batches import in_batches

_BLOCKED = (
    select(Process.id, Process.command)
    .where(Process.run_id == bindparam("run"), Process.state == State.BLOCKED.value)
    .order_by(Process.id)
)

_BAD_PARENTS = (
    select(Dependency.child, Process.id, Process.run_id, Process.command, Process.state)
    .join(Process, Process.id == Dependency.parent)
    .where(
        Dependency.child.in_(bindparam("ids", expanding=True)),
        Process.state.in_([State.FAILED.value, State.CANCELLED.value, State.BLOCKED.value]),
    )
)


@dataclass(frozen=True)
class Ancestor:
    """A failed or cancelled process that others wait for; it may belong to another run."""

    process: str
    step: str
    state: str
    run: int


@dataclass(frozen=True)
class BlockedGroup:
    """Processes that are blocked by the same ancestors.

    Attributes
    ----------
    ancestors : tuple of Ancestor
        Empty for the moment between a rescue and the manager's next round.
    steps : mapping of str to int
        Number of blocked processes by step.
    processes : tuple of str
    """

    ancestors: tuple[Ancestor, ...]
    steps: Mapping[str, int]
    processes: tuple[str, ...]


def read_blocked(connection: Connection, run: int) -> list[BlockedGroup]:
    """Return the blocked processes of a run, grouped by the ancestors that failed."""
    step_of = {row.id: row.command for row in connection.execute(_BLOCKED, {"run": run})}
    parents, ends = _climb(connection, step_of)
    groups: dict[frozenset[int], list[int]] = {}
    roots = _roots(parents, ends)
    for process_id in step_of:
        groups.setdefault(roots.get(process_id, frozenset()), []).append(process_id)
    return [
        BlockedGroup(
            ancestors=tuple(ends[root] for root in sorted(found)),
            steps=dict(Counter(step_of[i] for i in members)),
            processes=tuple(to_text(i) for i in members),
        )
        for found, members in groups.items()
    ]


def _climb(
    connection: Connection, start: Iterable[int]
) -> tuple[dict[int, list[int]], dict[int, Ancestor]]:
    """Follow the bad parents upwards, level by level, to processes that are not blocked."""
    parents: dict[int, list[int]] = {}
    ends: dict[int, Ancestor] = {}
    level: Collection[int] = set(start)
    while level:
        parents.update({child: [] for child in level})
        for ids in in_batches(level):
            for row in connection.execute(_BAD_PARENTS, {"ids": ids}):
                parents[row.child].append(row.id)
                if row.state != State.BLOCKED.value:
                    ends[row.id] = Ancestor(to_text(row.id), row.command, row.state, row.run_id)
        level = {i for found in parents.values() for i in found} - parents.keys() - ends.keys()
    return parents, ends


def _roots(
    parents: Mapping[int, Collection[int]], ends: Collection[int]
) -> dict[int, frozenset[int]]:
    """Return, per blocked process, every end above it.

    Examples
    --------
    >>> _roots({2: [1], 3: [2]}, {1})[3]
    frozenset({1})
    """
    roots: dict[int, frozenset[int]] = {end: frozenset({end}) for end in ends}
    # Without recursion: a chain of processes may be longer than Python's stack.
    stack = list(parents)
    while stack:
        child = stack[-1]
        unknown = [parent for parent in parents.get(child, ()) if parent not in roots]
        if child not in roots and unknown:
            stack.extend(unknown)
            continue
        stack.pop()
        if child not in roots:
            roots[child] = frozenset().union(*(roots[p] for p in parents.get(child, ())))
    return roots
