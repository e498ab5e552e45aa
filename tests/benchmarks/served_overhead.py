"""What the engine costs per process on MariaDB and RabbitMQ: a step that does nothing.

Run it with ``python -m tests.benchmarks.served_overhead [processes] [children]``; it starts
servers of its own. Beside each figure stand two bare commits on the same database and one
confirmed message on the same broker, measured in the same run.
"""

import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import func, select, text
from tests.benchmarks.engine_overhead import all_done, chain, fan_out, publish
from tests.servers.binaries import find_binaries
from tests.servers.mariadb import DatabaseProcess
from tests.servers.rabbitmq import BrokerProcess

from tianyu.broker.connect import connect
from tianyu.broker.interface import QueueAddress
from tianyu.consumer.consumer import Consumer, ConsumerConfig
from tianyu.manager.manager import Manager
from tianyu.schema.database import Database
from tianyu.schema.engine_tables import Process
from tianyu.schema.migrate import upgrade

COMMITS = 500
CONFIRMS = 500


def main(processes: int = 1000, children: int = 2) -> None:
    """Print milliseconds per process for a fan-out and for a serial chain."""
    os.environ["TIANYU_STEP_MODULES"] = "tests.benchmarks.noop_step"
    binaries = find_binaries()
    database_server, broker_server = DatabaseProcess(binaries), BrokerProcess(binaries)
    database_server.start()
    broker_server.start()
    print(f"{processes} processes, {children} children; ms per process")
    try:
        for shape, parents in {"fan-out": fan_out, "chain": chain}.items():
            with database_server.fresh_database() as url, tempfile.TemporaryDirectory() as folder:
                broker_url = broker_server.fresh_vhost()
                engine = overhead_ms(url, broker_url, Path(folder), parents(processes), children)
                commits, confirm = floor_ms(url, broker_url)
            print(
                f"{shape:8}  engine {engine:6.3f}  two bare commits {commits:6.3f}  "
                f"one confirm {confirm:6.3f}"
            )
    finally:
        broker_server.remove()
        database_server.remove()


def overhead_ms(
    url: str, broker_url: str, folder: Path, parents: Sequence[int | None], children: int
) -> float:
    """Return milliseconds per process from the first end to the last."""
    database = Database(url)
    upgrade(database)
    publish(database, folder, parents)
    manager_broker, consumer_broker = connect(broker_url, database), connect(broker_url, database)
    manager = Manager(database, manager_broker)
    thread = threading.Thread(target=manager.run, daemon=True)
    thread.start()
    consumer = Consumer(database, consumer_broker, ConsumerConfig("local", processes=children))
    consumer.run(lambda: all_done(database))
    manager.stop()
    thread.join()
    query = select(func.max(Process.finished_us) - func.min(Process.finished_us))
    with database.read() as connection:
        span_s = int(connection.scalar(query) or 0) / 1e6
    for broker in (manager_broker, consumer_broker):
        broker.close()
    database.dispose()
    return 1e3 * span_s / (len(parents) - 1)


def floor_ms(url: str, broker_url: str) -> tuple[float, float]:
    """Return what two bare commits and one confirmed message cost, milliseconds."""
    database = Database(url)
    statement = text("UPDATE process SET priority = 1 - priority LIMIT 1")
    start = time.perf_counter()
    for _ in range(2 * COMMITS):
        with database.write() as connection:
            connection.execute(statement)
    commits_ms = 1e3 * (time.perf_counter() - start) / COMMITS
    broker = connect(broker_url, database)
    queue = QueueAddress(99, "floor", "cpu")
    broker.publish(queue, [1])
    start = time.perf_counter()
    for _ in range(CONFIRMS):
        broker.publish(queue, [1])
    confirm_ms = 1e3 * (time.perf_counter() - start) / CONFIRMS
    broker.close()
    database.dispose()
    return commits_ms, confirm_ms


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
