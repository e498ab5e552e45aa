"""A slow check of what the counters should be; for tests, and for operators who doubt."""

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from tianyu.schema.engine_tables import Dependency, Process
from tianyu.schema.states import State


@dataclass(frozen=True)
class Drift:
    """One counter that does not say what the edges say."""

    process_id: int
    counter: str
    stored: int
    actual: int


def audit(connection: Connection) -> list[Drift]:
    """Recompute ``pending`` and ``bad_parents`` of every process from its parents.

    ``bad_parents`` is compared with the parents already counted (``bad_counted``), so that an
    audit between two rounds of the blocking rule reports no false drift.
    """
    parent = Process.__table__.alias("parent")
    counted = (
        select(
            Dependency.child.label("child"),
            func.sum(case((parent.c.state != State.SUCCEEDED.value, 1), else_=0)).label("pending"),
            func.sum(case((parent.c.bad_counted.is_(True), 1), else_=0)).label("bad"),
        )
        .join(parent, parent.c.id == Dependency.parent)
        .group_by(Dependency.child)
        .subquery()
    )
    query = select(
        Process.id,
        Process.pending,
        Process.bad_parents,
        func.coalesce(counted.c.pending, 0).label("true_pending"),
        func.coalesce(counted.c.bad, 0).label("true_bad"),
    ).outerjoin(counted, counted.c.child == Process.id)
    drifts = []
    for row in connection.execute(query):
        if row.pending != row.true_pending:
            drifts.append(Drift(row.id, "pending", row.pending, int(row.true_pending)))
        if row.bad_parents != row.true_bad:
            drifts.append(Drift(row.id, "bad_parents", row.bad_parents, int(row.true_bad)))
    return drifts
