"""The blocking rule: whoever cannot succeed keeps its descendants from waiting in vain.

One rule serves both directions. A row is *bad* while it is failed, cancelled or blocked;
``bad_counted`` says whether its children have been told. Where the two differ, the
children's ``bad_parents`` changes by one and they cross between waiting and blocked, which
makes them differ in turn, until nothing differs.
"""

from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, case, or_, select, update

from tianyu.schema.dialects import skip_locked
from tianyu.schema.engine_tables import Dependency, Process
from tianyu.schema.states import BAD, State
from tianyu.schema.transitions.publish import ID_BATCH

_BAD_VALUES = sorted(state.value for state in BAD)

_DIFFERS = (
    select(Process.id, Process.bad_counted)
    .where(
        or_(
            and_(Process.bad_counted.is_(False), Process.state.in_(_BAD_VALUES)),
            and_(Process.bad_counted.is_(True), Process.state.not_in(_BAD_VALUES)),
        )
    )
    .order_by(Process.id)
)

_EDGES = select(Dependency.parent, Dependency.child).where(
    Dependency.parent.in_(bindparam("ids", expanding=True))
)

_FLIP = (
    update(Process)
    .where(Process.id.in_(bindparam("ids", expanding=True)))
    .values(bad_counted=bindparam("counted"))
)

_process = Process.__table__
_after = _process.c.bad_parents + bindparam("step")
# The state comes first, see the finish module: MySQL assigns from left to right.
_CROSS = (
    update(_process)  # type: ignore[arg-type]  # a Table
    .where(_process.c.id.in_(bindparam("ids", expanding=True)))
    .ordered_values(
        (
            "state",
            case(
                (
                    and_(_process.c.state == State.WAITING.value, _after > 0),
                    State.BLOCKED.value,
                ),
                (
                    and_(
                        _process.c.state == State.BLOCKED.value,
                        _after <= 0,
                        _process.c.pending > 0,
                    ),
                    State.WAITING.value,
                ),
                (
                    and_(_process.c.state == State.BLOCKED.value, _after <= 0),
                    State.READY.value,
                ),
                else_=_process.c.state,
            ),
        ),
        ("bad_parents", _after),
    )
)


def reconcile(connection: Connection, *, limit: int = 200) -> int:
    """Tell the children of at most ``limit`` rows whose badness changed.

    Returns
    -------
    int
        Rows that were reconciled; call again, each time in a transaction, until it is 0.
    """
    query = _DIFFERS.limit(limit)
    lock = skip_locked(connection.dialect)
    if lock is not None:
        query = query.with_for_update(**lock)
    rows = connection.execute(query).all()
    if not rows:
        return 0
    step_of = {row.id: (-1 if row.bad_counted else 1) for row in rows}
    change: Counter[int] = Counter()
    for edge in connection.execute(_EDGES, {"ids": list(step_of)}):
        change[edge.child] += step_of[edge.parent]
    for step in sorted(set(change.values()) - {0}):
        _cross(connection, sorted(c for c, s in change.items() if s == step), step)
    for counted in (True, False):
        ids = sorted(pid for pid, step in step_of.items() if (step > 0) == counted)
        if ids:
            connection.execute(_FLIP, {"ids": ids, "counted": counted})
    return len(rows)


def _cross(connection: Connection, children: Sequence[int], step: int) -> None:
    for start in range(0, len(children), ID_BATCH):
        values = {"ids": children[start : start + ID_BATCH], "step": step}
        connection.execute(_CROSS, values)
