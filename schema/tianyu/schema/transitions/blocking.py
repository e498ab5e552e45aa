"""The blocking rule: whoever cannot succeed keeps its descendants from waiting in vain.

One rule serves both directions. A row is *bad* while it is failed, cancelled or blocked;
``bad_counted`` says whether its children have been told. Where the two differ, the
children's ``bad_parents`` changes by one and they cross between waiting and blocked, which
makes them differ in turn, until nothing differs.

Between two rounds ``bad_parents`` is the number of parents that have been *counted*, whatever
has become of them since. So a parent may fail, be rescued and even succeed before the rule
gets to it, and a child may be published meanwhile: the rule later finds the difference, or
finds that there is none.
"""

from collections import Counter
from collections.abc import Collection

from sqlalchemy import Connection, and_, bindparam, case, or_, select, update

from tianyu.schema.engine_tables import Dependency, Process
from tianyu.schema.states import BAD, State
from tianyu.schema.transitions.batches import in_batches

_BAD = sorted(state.value for state in BAD)
_GOOD = sorted(state.value for state in State if state not in BAD)

# Equalities and lists on both sides, no "is" and no "not in": each is then a short range of
# the index, and the cost does not grow with the number of rows that are rightly counted. No
# order either, which would sort all that differ for every batch of them.
_DIFFERING = (
    select(Process.id, Process.bad_counted)
    .where(
        or_(
            and_(Process.bad_counted == False, Process.state.in_(_BAD)),  # noqa: E712 - SQL
            and_(Process.bad_counted == True, Process.state.in_(_GOOD)),  # noqa: E712 - SQL
        )
    )
    .limit(bindparam("limit"))
    .with_for_update(skip_locked=True)
)

_EDGES = select(Dependency.parent, Dependency.child).where(
    Dependency.parent.in_(bindparam("ids", expanding=True))
)

_FLIP = (
    update(Process)
    .where(Process.id.in_(bindparam("ids", expanding=True)))
    .values(bad_counted=bindparam("counted"))
)

_bad_after = Process.bad_parents + bindparam("step")
_freed = and_(Process.state == State.BLOCKED.value, _bad_after <= 0)
# The state comes first, see the publish module: MySQL assigns from left to right.
_CROSS = (
    update(Process)
    .where(Process.id.in_(bindparam("ids", expanding=True)))
    .ordered_values(
        (
            Process.state,
            case(
                (and_(Process.state == State.WAITING.value, _bad_after > 0), State.BLOCKED.value),
                (and_(_freed, Process.pending > 0), State.WAITING.value),
                (_freed, State.READY.value),
                else_=Process.state,
            ),
        ),
        (Process.bad_parents, _bad_after),
    )
)


def reconcile(connection: Connection, *, limit: int = 200) -> int:
    """Tell the children of at most ``limit`` rows whose badness changed.

    Returns
    -------
    int
        Rows that were reconciled; call again, each time in a transaction, until it is 0.
    """
    rows = connection.execute(_DIFFERING, {"limit": limit}).all()
    if not rows:
        return 0
    step_of = {row.id: (-1 if row.bad_counted else 1) for row in rows}
    change: Counter[int] = Counter()
    for ids in in_batches(step_of):
        for edge in connection.execute(_EDGES, {"ids": ids}):
            change[edge.child] += step_of[edge.parent]
    for step in sorted(set(change.values()) - {0}):
        _cross(connection, [child for child, by in change.items() if by == step], step)
    for counted in (True, False):
        _flip(connection, [pid for pid, by in step_of.items() if (by > 0) == counted], counted)
    return len(rows)


def _cross(connection: Connection, children: Collection[int], step: int) -> None:
    for ids in in_batches(children):
        connection.execute(_CROSS, {"ids": ids, "step": step})


def _flip(connection: Connection, process_ids: Collection[int], counted: bool) -> None:
    for ids in in_batches(process_ids):
        connection.execute(_FLIP, {"ids": ids, "counted": counted})
