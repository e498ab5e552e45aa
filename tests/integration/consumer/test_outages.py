"""Databases and disks that are not there for a while: nothing is lost, nobody is blamed."""

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError, OperationalError
from tests.integration.consumer.yard import Yard, until, work

from tianyu.consumer.messages import Excuse
from tianyu.consumer.outages import is_outage, persist
from tianyu.consumer.outcomes import excuse_of, failure_of
from tianyu.pipelines.errors import UnreachableError
from tianyu.schema import dialects
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.states import ErrorKind, State


@contextmanager
def locked(yard: Yard) -> Iterator[None]:
    """Let nobody else write during the block."""
    connection = sqlite3.connect(yard.database.url.database or "", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_a_locked_database_delays_and_fails_nothing(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Short enough that claims and heartbeats give up many times while it is locked.
    monkeypatch.setattr(dialects, "SQLITE_BUSY_TIMEOUT_MS", 100)
    yard.database.dispose()
    yard.set_lease(2.0)
    pids = yard.publish(one=work("sleep", seconds=1.0), two=work("noop", "one"), three=work("noop"))
    with yard.consumer(processes=2):
        until(lambda: yard.state(pids["one"]) is State.RUNNING)
        with locked(yard):
            time.sleep(3.0)
            assert yard.state(pids["one"]) is State.RUNNING
        until(lambda: yard.states(pids.values()) == [State.SUCCEEDED] * 3)
    assert [yard.outcomes(pid) for pid in pids.values()] == [["succeeded"]] * 3
    assert "a heartbeat failed, trying again" in caplog.text
    assert len(yard.workers()) == 1


def test_a_database_that_cannot_be_reached_is_waited_for(
    yard: Yard, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, away = tmp_path / "there", tmp_path / "away"
    folder.mkdir()
    with Yard.at(folder) as far, far.consumer():
        pids = far.publish(one=work("sleep", seconds=1.0), two=work("noop", "one"))
        until(lambda: far.state(pids["one"]) is State.RUNNING)
        # The child has not opened it yet: its commit finds nothing where it should be.
        folder.rename(away)
        time.sleep(2.5)
        away.rename(folder)
        until(lambda: far.states(pids.values()) == [State.SUCCEEDED] * 2)
        assert [far.outcomes(pid) for pid in pids.values()] == [["succeeded"]] * 2


@pytest.mark.parametrize("command", ["meet_full_disk", "meet_full_database"])
def test_a_full_disk_costs_no_budget_and_pauses_the_consumer(
    yard: Yard, tmp_path: Path, command: str
) -> None:
    room = tmp_path / "room"
    pids = yard.publish(one=work(command, path=str(room)))
    with yard.consumer(failure_budget=1, disk_full_pause_s=1.0):
        until(lambda: yard.outcomes(pids["one"]))
        # Published into the pause: nothing is begun while there is no room for it.
        others = yard.publish(other=work("noop"))
        time.sleep(0.3)
        assert yard.row(others["other"]).attempt == 0
        room.touch()
        until(lambda: yard.state(pids["one"]) is State.SUCCEEDED)
        until(lambda: yard.state(others["other"]) is State.SUCCEEDED)
    first, *_, last = yard.attempts(pids["one"])
    assert (first.outcome, last.outcome) == ("released", "succeeded")
    assert (yard.row(pids["one"]).failures, yard.row(pids["one"]).lease_losses) == (0, 0)
    assert last.started_us - first.finished_us >= 1e6


def unreachable(tmp_path: Path) -> Database:
    return Database(sqlite_url(tmp_path / "no such folder" / "x.sqlite"))


def broken(text: str) -> OperationalError:
    return OperationalError("SELECT", {}, Exception(text))


def test_an_outage_is_what_the_database_does_not_answer_either(yard: Yard, tmp_path: Path) -> None:
    error = broken("something about a column, or about a host")
    assert not is_outage(error, yard.database)
    assert is_outage(error, unreachable(tmp_path))
    lost = OperationalError("SELECT", {}, Exception("gone"), connection_invalidated=True)
    assert is_outage(lost, yard.database)
    refused = IntegrityError("INSERT", {}, Exception("UNIQUE constraint failed"))
    assert not is_outage(refused, unreachable(tmp_path))
    assert not is_outage(ValueError("not about a database at all"), unreachable(tmp_path))


def test_a_step_that_found_the_database_away_is_excused(yard: Yard, tmp_path: Path) -> None:
    assert excuse_of(broken("connection refused"), unreachable(tmp_path)) is Excuse.DATABASE_AWAY
    assert excuse_of(broken("no such column: flux"), yard.database) is None
    assert failure_of(broken("no such column: flux")).kind is ErrorKind.UNEXPECTED


def test_a_step_that_found_another_site_away_is_excused(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that is down for a day must not use up a budget."""
    error = UnreachableError("http://dome:8766/images/1 has brought nothing for 120 s")
    assert excuse_of(error, yard.database) is Excuse.PEER_AWAY
    assert failure_of(error).kind is ErrorKind.TRANSIENT
    monkeypatch.setattr("tianyu.consumer.reports.PEER_PAUSE_S", 0.01)
    pids = yard.publish(one=work("peer_away"))
    with yard.consumer():
        until(lambda: yard.state(pids["one"]) is State.SUCCEEDED)
    assert [a.outcome for a in yard.attempts(pids["one"])] == ["released"] * 4 + ["succeeded"]
    assert yard.row(pids["one"]).failures == 0


@pytest.mark.parametrize(
    "text",
    [
        "database or disk is full",
        "(1021, 'Disk full (/tmp/#sql); waiting for someone to free some space...')",
        "(1114, \"The table 'source_flux' is full\")",
    ],
)
def test_a_database_without_room_is_a_full_disk(yard: Yard, text: str) -> None:
    assert excuse_of(broken(text), yard.database) is Excuse.DISK_FULL
    assert failure_of(broken(text)).kind is ErrorKind.TRANSIENT


def test_what_is_wrong_by_itself_is_not_tried_for_ever(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tianyu.consumer.outages.FIRST_PAUSE_S", 0.001)
    tries: list[object] = []

    def write(connection: object) -> None:
        tries.append(connection)
        raise broken("no such column: flux")

    with pytest.raises(OperationalError, match="no such column: flux"):
        persist(yard.database, write)
    assert len(tries) == 5


def test_waiting_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tianyu.consumer.outages.FIRST_PAUSE_S", 0.001)
    database = unreachable(tmp_path)
    calls: list[object] = []

    def write(connection: object) -> str:
        calls.append(connection)
        return "done"

    def make_room(_pause_s: float) -> None:
        (tmp_path / "no such folder").mkdir(exist_ok=True)

    monkeypatch.setattr("tianyu.consumer.outages.time.sleep", make_room)
    with caplog.at_level(logging.WARNING):
        assert persist(database, write) == "done"
    assert len(calls) == 1
    assert "the database is away, trying again: " in caplog.text
    database.dispose()
