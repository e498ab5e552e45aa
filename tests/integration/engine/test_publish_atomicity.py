"""Killing the publisher at any statement leaves no process without its dependencies."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import event, func, select
from tests.integration.engine import killed_publisher
from tests.integration.engine.killed_publisher import KILLED, Countdown, graph, publish
from tests.integration.engine.world import World

from tianyu.schema.database import Database
from tianyu.schema.engine_tables import Dependency, Process, Run
from tianyu.schema.states import State
from tianyu.schema.transitions.audit import audit

TOO_MANY = 50
"""More statements than publishing takes; the last try is the one that comes through."""


class ConnectionLostError(Exception):
    """Stands for whatever cuts a publisher off."""


def lose() -> None:
    raise ConnectionLostError


def counts(database: Database) -> tuple[int, ...]:
    """Return the numbers of runs, processes and edges."""
    with database.read() as connection:
        return tuple(
            connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (Run, Process, Dependency)
        )


def publish_and_break_at(database: Database, k: int) -> bool:
    """Publish; return whether it came through before the k-th statement."""
    countdown = Countdown(database.engine, k, lose)
    try:
        with database.write() as connection:
            publish(connection, graph())
    except ConnectionLostError:
        return False
    finally:
        event.remove(database.engine, "before_cursor_execute", countdown._tick)
        event.remove(database.engine, "commit", countdown._tick)
    return True


@pytest.fixture
def before(world: World) -> tuple[int, ...]:
    """Publish the older process that the graph hangs on."""
    assert world.publish({"older": []}) == {"older": 1}
    return counts(world.database)


def test_cut_off_at_every_statement(world: World, before: tuple[int, ...]) -> None:
    runs, processes, edges = before
    tries = 1
    while not publish_and_break_at(world.database, tries):
        assert counts(world.database) == before, f"cut off at statement {tries}"
        tries += 1
    # Look for the run, insert it, the time, processes, edges, parents, counters and the COMMIT:
    # had it been fewer, something went past the count.
    assert 8 <= tries - 1 < TOO_MANY
    assert counts(world.database) == (runs + 1, processes + 4, edges + 5)


@pytest.mark.parametrize("k", [2, 5, 6, 8])
def test_killed_for_real(world: World, before: tuple[int, ...], k: int) -> None:
    assert run_publisher(world.database, k).returncode == KILLED
    assert counts(world.database) == before
    with world.database.read() as connection:
        assert audit(connection) == []


def test_not_killed_it_comes_through_and_the_graph_runs_to_its_end(
    world: World, before: tuple[int, ...]
) -> None:
    runs, processes, edges = before
    finished = run_publisher(world.database, TOO_MANY)
    assert finished.returncode == 0, finished.stderr
    assert counts(world.database) == (runs + 1, processes + 4, edges + 5)
    world.finish(1, 101, 102, 103, 104)
    assert set(world.states([1, 101, 102, 103, 104])) == {State.SUCCEEDED}


def run_publisher(database: Database, k: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(Path(killed_publisher.__file__)), database.text_url, str(k)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
