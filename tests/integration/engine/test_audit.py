"""The audit finds counters that do not say what the edges say, and names both values."""

from sqlalchemy import update
from tests.integration.engine.world import World

from tianyu.schema.engine_tables import Process
from tianyu.schema.transitions.audit import Drift, audit


def test_drift_is_found(world: World) -> None:
    pids = world.publish({"a": [], "b": ["a"]})
    with world.database.write() as connection:
        wrong = {"pending": 3, "bad_parents": 1}
        connection.execute(update(Process).where(Process.id == pids["b"]).values(**wrong))
    with world.database.read() as connection:
        assert audit(connection) == [
            Drift(pids["b"], "pending", stored=3, actual=1),
            Drift(pids["b"], "bad_parents", stored=1, actual=0),
        ]


def test_a_process_without_parents_should_wait_for_none(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    with world.database.write() as connection:
        connection.execute(update(Process).values(pending=1))
    with world.database.read() as connection:
        assert audit(connection) == [Drift(pid, "pending", stored=1, actual=0)]


def test_between_two_rounds_of_the_blocking_rule_there_is_no_drift(world: World) -> None:
    pids = world.publish({"a": [], "b": ["a"]})
    world.break_(pids["a"])
    with world.database.read() as connection:
        assert audit(connection) == []
