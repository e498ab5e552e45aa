"""A million processes: what publishing them costs, and whether a poll notices them.

Run it with ``python -m tests.benchmarks.million [processes] [sqlite|mariadb …]``. Each process
but the first few waits for two others. Published in one transaction; memory is the growth of
the largest resident size of this process.
"""

import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import event, func, select, text
from tests.servers.binaries import find_binaries
from tests.servers.mariadb import DatabaseProcess

from tianyu.broker.embedded import EmbeddedBroker
from tianyu.broker.interface import QueueAddress
from tianyu.broker.memory import MemoryBroker, MemoryServer
from tianyu.manager.manager import Manager
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_queue, ensure_site
from tianyu.schema.engine_tables import Dependency, Process
from tianyu.schema.migrate import upgrade
from tianyu.schema.pid import PidFactory
from tianyu.schema.transitions.claim import claim_next
from tianyu.schema.transitions.publish import ProcessSpec, RunSpec, insert_graph, insert_run

ROUNDS = 50
READY = 3


def main(processes: int = 1_000_000, *kinds: str) -> None:
    """Print the figures for each database."""
    for kind in kinds or ("sqlite", "mariadb"):
        with databases[kind]() as database:
            measure(kind, database, processes)


@contextmanager
def on_sqlite() -> Iterator[Database]:
    """Open a new file."""
    with tempfile.TemporaryDirectory() as folder:
        yield Database(sqlite_url(Path(folder) / "million.sqlite"))


@contextmanager
def on_mariadb() -> Iterator[Database]:
    """Start a server."""
    server = DatabaseProcess(find_binaries())
    try:
        server.start()
        with server.fresh_database() as url:
            yield Database(url)
    finally:
        server.remove()


databases: dict[str, Callable] = {"sqlite": on_sqlite, "mariadb": on_mariadb}


def measure(kind: str, database: Database, n: int) -> float:
    """Publish, then poll; return the time of a manager's round with a broker, ms."""
    upgrade(database)
    with database.write() as connection:
        site = ensure_site(connection, "local", Path("/tmp"), 60.0)  # noqa: S108 - nothing there
        queue = ensure_queue(connection, site, "cpu")
    ids = PidFactory().draw(n)
    specs = [
        ProcessSpec(pid, "noop", {}, queue, (ids[i - 1], ids[i - 2]) if i >= READY else ())
        for i, pid in enumerate(ids)
    ]
    before = peak_mb()
    start = time.perf_counter()
    with database.write() as connection:
        run = RunSpec("million", "noop", 1, {}, "1", specs)
        insert_graph(connection, insert_run(connection, run), specs)
    seconds = time.perf_counter() - start
    with database.read() as connection:
        counts = [
            connection.scalar(select(func.count()).select_from(t)) for t in (Process, Dependency)
        ]
    print(
        f"{kind}: published {counts[0]} processes and {counts[1]} edges in {seconds:.0f} s, "
        f"memory + {peak_mb() - before:.0f} MB"
    )
    claim = median_ms(lambda: claim_one(database, queue))
    poll = median_ms(lambda: poll_embedded(database))
    served = served_poll(database)
    served()
    full = median_ms(served)
    bare = median_ms(lambda: ask_nothing(database))
    print(
        f"{kind}: one claim {claim:.2f} ms, one poll of the manager {poll:.2f} ms embedded, "
        f"{full:.2f} ms with a broker; a bare transaction {bare:.2f} ms"
    )
    explain(kind, database)
    return full


def claim_one(database: Database, queue: int) -> None:
    """Claim as a consumer does, and undo it."""
    with database.engine.connect() as connection, connection.begin() as transaction:
        claim_next(connection, [queue], "w", 60.0)
        transaction.rollback()


def ask_nothing(database: Database) -> None:
    """Do what any transaction costs."""
    with database.read() as connection:
        connection.execute(text("SELECT 1"))


def poll_embedded(database: Database) -> None:
    """Do one round of a manager without messages."""
    Manager(database, EmbeddedBroker(database)).poll()


def served_poll(database: Database) -> Callable[[], object]:
    """Return one round of a manager with messages; the second one finds nothing to send."""
    broker = MemoryBroker(MemoryServer())
    broker.subscribe([QueueAddress(1, "local", "cpu")])
    return Manager(database, broker).poll


def median_ms(work: Callable[[], object]) -> float:
    """Return the median of many calls, milliseconds."""
    work()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def explain(kind: str, database: Database) -> None:
    """Print the plans of a poll's statements."""
    seen: dict[str, object] = {}

    def note(_c: object, _u: object, sql: str, parameters: object, *_: object) -> None:
        if sql.startswith("SELECT") and " process" in sql:
            seen[sql] = parameters

    event.listen(database.engine, "before_cursor_execute", note)
    poll_embedded(database)
    claim_one(database, 1)
    event.remove(database.engine, "before_cursor_execute", note)
    word = "EXPLAIN QUERY PLAN" if database.is_embedded else "EXPLAIN"
    with database.read() as connection:
        for sql, parameters in seen.items():
            rows = connection.exec_driver_sql(f"{word} {sql}", parameters).mappings().all()
            for row in rows:
                shown = row.get("detail") or [row[k] for k in ("table", "type", "key", "rows")]
                print(f"{kind}:   {' '.join(sql.split())[:60]}…  {shown}")


def peak_mb() -> float:
    """Return the largest resident size of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*(int(a) if a.isdigit() else a for a in sys.argv[1:]))  # type: ignore[arg-type]
