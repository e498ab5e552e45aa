"""What the engine costs per process: a step that does nothing, on SQLite.

Run it with ``python tests/benchmarks/engine_overhead.py [processes] [children]``. Beside each
figure stands what two bare commits cost on the same disk in the same run, the least that a
claim and a completion can take when they are transactions of their own.
"""

import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import func, select

from tianyu.broker.embedded import EmbeddedBroker
from tianyu.consumer.consumer import Consumer, ConsumerConfig
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_queue, ensure_site
from tianyu.schema.engine_tables import Process
from tianyu.schema.migrate import upgrade
from tianyu.schema.pid import PidFactory
from tianyu.schema.states import State
from tianyu.schema.transitions.publish import ProcessSpec, RunSpec, insert_graph, insert_run

COMMITS = 2000


def main(processes: int = 2000, children: int = 1) -> None:
    """Print milliseconds per process for a fan-out and for a serial chain."""
    os.environ["TIANYU_STEP_MODULES"] = "noop_step"
    print(f"{processes} processes, {children} children; ms per process")
    for shape, parents in {"fan-out": fan_out, "chain": chain}.items():
        with tempfile.TemporaryDirectory() as folder:
            raw = two_commits_ms(Path(folder) / "raw.sqlite")
            engine, whole = overhead_ms(Path(folder), parents(processes), children)
        print(
            f"{shape:8}  engine {engine:6.3f}  two bare commits {raw:6.3f}  "
            f"ratio {engine / raw:5.1f}  start-up {whole:4.1f} s"
        )


def fan_out(n: int) -> list[int | None]:
    """Return each process's parent: one root, and all others its children."""
    return [None] + [0] * (n - 1)


def chain(n: int) -> list[int | None]:
    """Return each process's parent: the one before."""
    return [None, *range(n - 1)]


def overhead_ms(folder: Path, parents: Sequence[int | None], children: int) -> tuple[float, float]:
    """Return milliseconds per process from the first end to the last, and start-up in s."""
    database = Database(sqlite_url(folder / "engine.sqlite"))
    upgrade(database)
    publish(database, folder, parents)
    consumer = Consumer(
        database, EmbeddedBroker(database), ConsumerConfig("local", processes=children)
    )
    start = time.perf_counter()
    consumer.run(lambda: all_done(database))
    wall_s = time.perf_counter() - start
    # From the first end on: before it stand the starts of the child and its imports.
    query = select(func.max(Process.finished_us) - func.min(Process.finished_us))
    with database.read() as connection:
        span_s = int(connection.scalar(query) or 0) / 1e6
    database.dispose()
    return 1e3 * span_s / (len(parents) - 1), wall_s - span_s


def publish(database: Database, folder: Path, parents: Sequence[int | None]) -> None:
    """Publish a graph of no-ops."""
    ids = PidFactory().draw(len(parents))
    with database.write() as connection:
        queue = ensure_queue(connection, ensure_site(connection, "local", folder, 60.0), "cpu")
        specs = [
            ProcessSpec(pid, "noop", {}, queue, () if parent is None else (ids[parent],))
            for pid, parent in zip(ids, parents, strict=True)
        ]
        run = RunSpec("benchmark", "noop", 1, {}, "1", specs)
        insert_graph(connection, insert_run(connection, run), specs)


def all_done(database: Database) -> bool:
    """Tell whether every process has succeeded."""
    with database.read() as connection:
        return not connection.scalar(
            select(func.count()).where(Process.state != State.SUCCEEDED.value)
        )


def two_commits_ms(path: Path) -> float:
    """Return what two commits of one small row cost, without any layer above SQLite."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, state TEXT)")
    connection.execute("INSERT INTO t VALUES (1, 'ready')")
    start = time.perf_counter()
    for number in range(2 * COMMITS):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE t SET state = ? WHERE id = 1", (str(number),))
        connection.execute("COMMIT")
    elapsed_s = time.perf_counter() - start
    connection.close()
    return 1e3 * elapsed_s / COMMITS


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
