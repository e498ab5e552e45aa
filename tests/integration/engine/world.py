"""A world in which to try the engine: graphs by name, and workers that do as they are told."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update
from tests.integration.engine.backends import PRODUCT

from tianyu.schema.database import Database
from tianyu.schema.engine_tables import Attempt, Process
from tianyu.schema.states import ErrorKind, State
from tianyu.schema.transitions import dispatch, finish, leases, operator
from tianyu.schema.transitions.blocking import reconcile
from tianyu.schema.transitions.claim import Claim, claim_queued
from tianyu.schema.transitions.finish import Failure, Usage
from tianyu.schema.transitions.publish import (
    ProcessSpec,
    RunSpec,
    find_run,
    insert_graph,
    insert_run,
)

QUEUE = 1
LEASE_S = 3600.0
"""No lease of the tests runs out by itself; :meth:`World.expire` makes it."""
BUDGET = 3


def publish_run(connection: Connection, run: RunSpec) -> int:
    """Publish a run unless it is there, as every publisher does; return its id."""
    known = find_run(connection, run.run_key)
    if known is not None:
        return known
    run_id = insert_run(connection, run)
    insert_graph(connection, run_id, run.processes)
    return run_id


Graph = Mapping[str, Sequence[str | int]]


@dataclass
class World:
    """One database, and short words for what happens in it."""

    database: Database
    claims: dict[int, Claim] = field(default_factory=dict)
    _pids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    # -- graphs ---------------------------------------------------------------------------

    def specs(self, graph: Graph, **options: Any) -> tuple[dict[str, int], list[ProcessSpec]]:
        """Number the processes of a graph; parents are names in it, or ids of older ones."""
        pids = {name: next(self._pids) for name in graph}
        processes = [
            ProcessSpec(
                id=pids[name],
                command="step",
                parameters={"name": name},
                queue_id=options.get("queue", QUEUE),
                parents=tuple(p if isinstance(p, int) else pids[p] for p in parents),
                priority=options.get("priority", 100),
                repeatable=options.get("repeatable", True),
            )
            for name, parents in graph.items()
        ]
        return pids, processes

    def run(self, processes: Sequence[ProcessSpec], key: str | None = None) -> RunSpec:
        """Return a run of these processes."""
        return RunSpec(key or f"run {next(self._pids)}", "recipe", 1, {}, "1.0", processes)

    def publish(self, graph: Graph, **options: Any) -> dict[str, int]:
        """Publish a graph and return the ids by name."""
        pids, processes = self.specs(graph, **options)
        with self.database.write() as connection:
            publish_run(connection, self.run(processes))
        return pids

    # -- looking --------------------------------------------------------------------------

    def row(self, pid: int) -> Row[Any]:
        """Return all columns of a process."""
        with self.database.read() as connection:
            return connection.execute(select(Process).where(Process.id == pid)).one()

    def state(self, pid: int) -> State:
        """Return where a process stands."""
        return State(self.row(pid).state)

    def states(self, pids: Iterable[int]) -> list[State]:
        """Return where processes stand."""
        return [self.state(pid) for pid in pids]

    def attempts(self, pid: int) -> list[Row[Any]]:
        """Return the ended attempts of a process, oldest first."""
        with self.database.read() as connection:
            query = select(Attempt).where(Attempt.process_id == pid).order_by(Attempt.number)
            return list(connection.execute(query).all())

    def products(self) -> list[int]:
        """Return the processes that have left a product, once per product."""
        with self.database.read() as connection:
            return sorted(connection.scalars(select(PRODUCT.c.process_id)))

    # -- workers --------------------------------------------------------------------------

    def claim(self, pid: int) -> Claim:
        """Claim one process, by way of the broker."""
        self.dispatch()
        with self.database.write() as connection:
            claim = claim_queued(connection, pid, [self.row(pid).queue_id], "worker", LEASE_S)
        assert claim is not None, f"process {pid} is {self.state(pid)}"
        self.claims[pid] = claim
        return claim

    def dispatch(self) -> list[dispatch.Dispatch]:
        """Hand every ready process to the broker."""
        with self.database.write() as connection:
            queues = connection.scalars(select(Process.queue_id).distinct()).all()
            return [d for queue in queues for d in dispatch.take_ready(connection, queue, 1000)]

    def succeed(self, claim: Claim) -> None:
        """Commit a product and the success, or neither."""
        with self.database.write() as connection:
            values = {"process_id": claim.process_id, "attempt": claim.attempt}
            connection.execute(insert(PRODUCT).values(**values))
            finish.succeed(connection, claim.process_id, claim.token, Usage())

    def fail(self, claim: Claim, kind: ErrorKind = ErrorKind.PERMANENT, text: str = "no") -> State:
        """End an attempt with an error."""
        with self.database.write() as connection:
            failure = Failure(kind, text)
            return finish.fail(
                connection, claim.process_id, claim.token, failure, Usage(), budget=BUDGET
            )

    def finish(self, *pids: int) -> None:
        """Let processes run and succeed, one after the other."""
        for pid in pids:
            self.succeed(self.claim(pid))

    def break_(self, *pids: int) -> None:
        """Let processes run and fail for good."""
        for pid in pids:
            self.fail(self.claim(pid))

    # -- managers and people --------------------------------------------------------------

    def reconcile(self) -> int:
        """Apply the blocking rule until nothing differs; return how many rows did."""
        total = 0
        while count := self.database.retry(reconcile):
            total += count
        return total

    def reap(self, budget: int = BUDGET) -> list[leases.Reaped]:
        """Take back what has expired."""
        with self.database.write() as connection:
            return leases.reap(connection, budget=budget)

    def cancel(self, *pids: int) -> tuple[int, int]:
        """Cancel processes."""
        with self.database.write() as connection:
            return operator.cancel(connection, pids)

    def rescue(self, *pids: int) -> int:
        """Rescue processes."""
        with self.database.write() as connection:
            return operator.rescue(connection, pids)

    # -- time -----------------------------------------------------------------------------

    def expire(self, *pids: int) -> None:
        """Let the leases of processes run out."""
        self._set(pids, lease_until=1)

    def make_due(self, *pids: int) -> None:
        """Let the pause after a failure pass."""
        self._set(pids, not_before=0)

    def age_dispatches(self, by_s: float = 120.0) -> None:
        """Let time pass since everything that was handed to the broker."""
        by_us = int(by_s * 1e6)
        with self.database.write() as connection:
            connection.execute(
                update(Process).values(
                    dispatched_at=Process.dispatched_at - by_us,
                    confirmed_at=Process.confirmed_at - by_us,
                )
            )

    def _set(self, pids: Iterable[int], **values: Any) -> None:
        with self.database.write() as connection:
            connection.execute(update(Process).where(Process.id.in_(pids)).values(**values))
