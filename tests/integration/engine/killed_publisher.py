"""Publishes a graph onto process 1 and dies, without any farewell, at its k-th statement.

Usage: ``killed_publisher.py URL K``. Exits with 0 where it came through, and prints how many
statements that took.
"""

import os
import sys
from typing import Any

from sqlalchemy import Connection, Engine, event

from tianyu.schema.database import Database
from tianyu.schema.transitions.publish import (
    ProcessSpec,
    RunSpec,
    find_run,
    insert_graph,
    insert_run,
)

KILLED = 77


def graph() -> RunSpec:
    """Return a run of four processes, two of which hang on process 1."""
    processes = [
        ProcessSpec(101, "step", {}, 1),
        ProcessSpec(102, "step", {}, 1, (1,)),
        ProcessSpec(103, "step", {}, 1, (1, 101, 102)),
        ProcessSpec(104, "step", {}, 1, (103,)),
    ]
    return RunSpec("the killed run", "recipe", 1, {}, "1.0", processes)


def publish(connection: Connection, run: RunSpec) -> None:
    """Publish a run that is not there yet."""
    assert find_run(connection, run.run_key) is None
    insert_graph(connection, insert_run(connection, run), run.processes)


class Countdown:
    """Calls ``die`` before the k-th statement of an engine; the COMMIT is the last one."""

    def __init__(self, engine: Engine, k: int, die: Any) -> None:
        self.count = 0
        self._k = k
        self._die = die
        event.listen(engine, "before_cursor_execute", self._tick)
        event.listen(engine, "commit", self._tick)

    def _tick(self, *_: Any) -> None:
        self.count += 1
        if self.count == self._k:
            self._die()


if __name__ == "__main__":
    database = Database(sys.argv[1])
    countdown = Countdown(database.engine, int(sys.argv[2]), lambda: os._exit(KILLED))
    with database.write() as connection:
        publish(connection, graph())
    print(countdown.count)
