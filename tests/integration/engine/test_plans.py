"""The hot statements read the head of an index: their cost must not grow with the table."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Connection, event
from tests.integration.engine.world import LEASE_S, QUEUE, World, publish_run

from tianyu.schema.database import Database
from tianyu.schema.states import ErrorKind, State
from tianyu.schema.transitions import blocking, claim, dispatch, finish, leases, operator
from tianyu.schema.transitions.publish import ProcessSpec, RunSpec


@dataclass(frozen=True)
class Stage:
    """A connection, and processes by the name of their state."""

    world: World
    connection: Connection
    pids: dict[str, int]

    @property
    def held(self) -> tuple[int, str]:
        """Id and token of the process that is running."""
        pid = self.pids["running"]
        return pid, self.world.claims[pid].token

    @property
    def child(self) -> RunSpec:
        """A run that hangs on two of the processes."""
        parents = (self.pids["failed"], self.pids["running"])
        return self.world.run([ProcessSpec(9999, "step", {}, QUEUE, parents)])


Work = Callable[[Stage], Any]
AWAY = finish.Failure(ErrorKind.TRANSIENT, "away")

HOT: dict[str, Work] = {
    "claim_next": lambda s: claim.claim_next(s.connection, [QUEUE], "worker", LEASE_S),
    "claim_queued": lambda s: claim.claim_queued(
        s.connection, s.pids["queued"], [QUEUE], "worker", LEASE_S
    ),
    "heartbeat": lambda s: claim.heartbeat(s.connection, *s.held, LEASE_S),
    "succeed": lambda s: finish.succeed(s.connection, *s.held, finish.Usage()),
    "fail": lambda s: finish.fail(s.connection, *s.held, AWAY, finish.Usage(), budget=3),
    "reap": lambda s: leases.reap(s.connection, budget=3),
    "reconcile": lambda s: blocking.reconcile(s.connection),
    "take_ready": lambda s: dispatch.take_ready(s.connection, QUEUE, 100),
    "confirm": lambda s: dispatch.confirm(s.connection, [dispatch.Dispatch(s.pids["queued"], 1)]),
    "return_unconfirmed": lambda s: dispatch.return_unconfirmed(s.connection, 0.0),
    "return_lost": lambda s: dispatch.return_lost(s.connection, QUEUE, 0.0),
    "count_queued": lambda s: dispatch.count_queued(s.connection, QUEUE),
    "cancel": lambda s: operator.cancel(s.connection, s.pids.values()),
    "rescue": lambda s: operator.rescue(s.connection, s.pids.values()),
    "publish": lambda s: publish_run(s.connection, s.child),
}


@pytest.mark.parametrize("name", sorted(HOT))
def test_no_hot_statement_scans_a_table(world: World, name: str) -> None:
    pids = world.publish(
        {"queued": [], "running": [], "expired": [], "failed": [], "child": ["running", "failed"]}
    )
    world.claim(pids["running"])
    world.claim(pids["expired"])
    world.expire(pids["expired"])
    world.break_(pids["failed"])
    world.publish({"ready": []})
    assert world.state(pids["queued"]) is State.QUEUED
    statements = statements_of(world, HOT[name], pids)
    assert statements
    for sql, parameters in statements:
        for step in plan(world.database, sql, parameters):
            assert not re.match("SCAN (?!CONSTANT ROW)", step), f"{sql}\n{step}"


def test_the_queue_is_read_in_the_order_of_its_index(world: World) -> None:
    world.publish({"a": []})
    for work in (HOT["claim_next"], HOT["take_ready"]):
        (sql, parameters), *_ = statements_of(world, work, {})
        steps = plan(world.database, sql, parameters)
        assert "ix_process_dispatch (state=? AND queue_id=?)" in steps[0]
        assert len(steps) == 1, f"sorts: {steps}"


def test_the_blocking_rule_reads_only_what_differs(world: World) -> None:
    (sql, parameters), *_ = statements_of(world, HOT["reconcile"], {})
    steps = plan(world.database, sql, parameters)
    reads = [step for step in steps if step.startswith("SEARCH")]
    assert len(reads) == 2
    assert all("ix_process_badness (bad_counted=? AND state=?)" in step for step in reads)
    assert not any("TEMP B-TREE" in step for step in steps)


def test_the_reaper_reads_what_expired_first(world: World) -> None:
    (sql, parameters), *_ = statements_of(world, HOT["reap"], {})
    steps = plan(world.database, sql, parameters)
    assert len(steps) == 1
    assert "ix_process_lease (state=? AND lease_until<?)" in steps[0]


def statements_of(world: World, work: Work, pids: dict[str, int]) -> list[tuple[str, Any]]:
    """Return what a transition sends to the database, and undo it."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, sql: str, parameters: Any, _ctx: Any, many: bool) -> None:
        if sql.startswith(("SELECT", "UPDATE", "DELETE")):
            seen.append((sql, parameters[0] if many else parameters))

    engine = world.database.engine
    with engine.connect() as connection, connection.begin() as transaction:
        event.listen(engine, "before_cursor_execute", note)
        try:
            work(Stage(world, connection, pids))
        finally:
            event.remove(engine, "before_cursor_execute", note)
        transaction.rollback()
    return seen


def plan(database: Database, sql: str, parameters: Any) -> list[str]:
    """Return the steps of a statement's plan."""
    if not database.is_embedded:
        pytest.skip("plans of served databases are read in their own way")
    with database.read() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters).all()
    return [row[3] for row in rows]
