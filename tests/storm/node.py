"""A manager, a consumer, or both, as a program: ``python -m tests.storm.node ROLE``."""

import logging
import os
import signal
import sys
import threading

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError
from tests.storm.installation import SITE

from tianyu.broker.connect import connect
from tianyu.consumer import consumer as consumer_module
from tianyu.consumer.consumer import Consumer, ConsumerConfig
from tianyu.manager.manager import Manager, ManagerConfig
from tianyu.pipelines.step import find_step
from tianyu.schema.database import Database
from tianyu.schema.engine_tables import Process
from tianyu.schema.states import TERMINAL

POLL_S = 0.1
BUDGET = 1000
"""Whoever dies so often is not to blame."""


def main(role: str) -> None:
    """Run until signalled; a node also ends when there is nothing left to do."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    threading.Thread(target=_end_with_the_storm, daemon=True).start()
    # The steps of the package take seconds to load and are not needed here.
    consumer_module.all_steps = lambda: {"mark": find_step("mark")}
    database = Database(os.environ["STORM_DATABASE"])
    broker = connect(os.environ["STORM_BROKER"], database)
    manager = Manager(database, broker, ManagerConfig(BUDGET, POLL_S))
    config = ConsumerConfig(
        SITE, failure_budget=BUDGET, poll_s=POLL_S, disk_full_pause_s=1.0, processes=1
    )
    consumer = Consumer(database, broker, config)

    def stop(*_: object) -> None:
        manager.stop()
        consumer.drain()

    signal.signal(signal.SIGTERM, stop)
    if role == "manager":
        manager.run()
    elif role == "consumer":
        consumer.run()
    else:
        thread = threading.Thread(target=manager.run, daemon=True)
        thread.start()
        consumer.run(lambda: _is_done(database))
        manager.stop()
        thread.join()
    broker.close()
    database.dispose()


def _end_with_the_storm() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _is_done(database: Database) -> bool:
    terminal = [state.value for state in TERMINAL]
    query = select(func.count()).where(Process.state.not_in(terminal))
    try:
        with database.read() as connection:
            return not connection.scalar(query)
    except DBAPIError:
        return False


if __name__ == "__main__":
    main(sys.argv[1])
