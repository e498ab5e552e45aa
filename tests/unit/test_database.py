"""Opening a database; its two kinds of transaction; trying again what may succeed then."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from tianyu.schema import database as module
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.dialects import SQLITE_BUSY_TIMEOUT_MS, is_transient, now_us
from tianyu.schema.errors import ConfigurationError


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(sqlite_url(tmp_path / "test.sqlite"))
    with database.write() as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER PRIMARY KEY)"))
    yield database
    database.dispose()


def insert(connection: Connection, x: int) -> None:
    connection.execute(text("INSERT INTO t VALUES (:x)"), {"x": x})


def values(database: Database) -> list[int]:
    with database.read() as connection:
        return list(connection.scalars(text("SELECT x FROM t ORDER BY x")))


# -- opening -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("night.sqlite", "'night.sqlite' is not a database URL; write sqlite:///FILE"),
        ("mysql://u:secret@h:port/db", "'h:port/db' is not a database URL"),
        ("postgresql://host/db", "'postgresql' is not supported; use sqlite or mysql"),
        ("sqlite://", "names no file; give sqlite:///FOLDER/tianyu.sqlite"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite+absent:///night.sqlite", "the driver of 'sqlite\\+absent' is not there"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        Database(url)
    assert "secret" not in str(caught.value)


def test_the_url_is_shown_without_its_password() -> None:
    pytest.importorskip("pymysql", reason="needs PyMySQL")
    database = Database("mysql+pymysql://tianyu:secret@db/tianyu")
    assert str(database) == "mysql+pymysql://tianyu:***@db/tianyu"
    assert database.text_url == "mysql+pymysql://tianyu:secret@db/tianyu"
    assert not database.is_embedded


@pytest.mark.parametrize(
    "name", ["a b.sqlite", "100% a%41.sqlite", "a?b=c&d#e.sqlite", "星.sqlite"]
)
def test_the_file_is_where_its_path_says(tmp_path: Path, name: str) -> None:
    database = Database(sqlite_url(tmp_path / name))
    again = Database(database.text_url)
    with again.write() as connection:
        connection.execute(text("CREATE TABLE t (x INTEGER)"))
    assert (tmp_path / name).exists()
    database.dispose()
    again.dispose()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("foreign_keys", 1),
        ("synchronous", 1),
        ("busy_timeout", SQLITE_BUSY_TIMEOUT_MS),
    ],
)
def test_every_connection_is_set_up(database: Database, pragma: str, value: object) -> None:
    for _ in range(2):
        with database.read() as connection:
            assert connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() == value
        database.dispose()


# -- transactions ------------------------------------------------------------------------------


def test_a_block_that_ends_well_is_committed(database: Database) -> None:
    with database.write() as connection:
        insert(connection, 1)
    assert values(database) == [1]


def test_a_block_that_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        insert(connection, 1 // len(values(database)))
    assert values(database) == []


def test_a_reader_sees_one_state_and_does_not_wait_for_a_writer(database: Database) -> None:
    with database.read() as reader:
        assert reader.scalars(select(text("x")).select_from(text("t"))).all() == []
        with database.write() as writer:
            insert(writer, 1)
        assert reader.scalars(select(text("x")).select_from(text("t"))).all() == []
    assert values(database) == [1]


def test_a_writer_that_reads_first_waits_its_turn(database: Database) -> None:
    """As deferred transactions the second would fail at once, however long it may wait."""
    start = threading.Barrier(4)
    errors: list[Exception] = []

    def add_one() -> None:
        start.wait()
        try:
            for _ in range(10):
                with database.write() as connection:
                    top = connection.scalar(text("SELECT COALESCE(MAX(x), 0) FROM t"))
                    insert(connection, int(top or 0) + 1)
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)

    threads = [threading.Thread(target=add_one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert values(database) == list(range(1, 41))


# -- trying again ------------------------------------------------------------------------------


def busy() -> OperationalError:
    return OperationalError("BEGIN", {}, sqlite3.OperationalError("database is locked"))


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses instead of waiting."""
    taken: list[float] = []
    monkeypatch.setattr(module.time, "sleep", taken.append)
    return taken


def test_a_busy_database_is_tried_again(database: Database, pauses: list[float]) -> None:
    tries = iter([True, True, False])

    def work(connection: Connection) -> str:
        insert(connection, 1)
        if next(tries):
            raise busy()
        return "done"

    assert database.retry(work) == "done"
    assert values(database) == [1]
    assert len(pauses) == 2
    assert 0.01 <= pauses[0] <= 0.03
    assert 0.025 <= pauses[1] <= 0.075


def test_one_that_stays_busy_is_given_up(database: Database, pauses: list[float]) -> None:
    def work(_connection: Connection) -> None:
        raise busy()

    with pytest.raises(OperationalError):
        database.retry(work)
    assert len(pauses) == len(module.RETRY_SECONDS)


def test_what_repeating_does_not_mend_is_raised_at_once(
    database: Database, pauses: list[float]
) -> None:
    with pytest.raises(IntegrityError):
        database.retry(lambda connection: [insert(connection, 1), insert(connection, 1)])
    assert pauses == []
    assert values(database) == []


class _ServerError(Exception):
    """What PyMySQL raises: the number first."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (busy(), True),
        (OperationalError("", {}, _ServerError(1213, "Deadlock found")), True),
        (OperationalError("", {}, _ServerError(1205, "Lock wait timeout exceeded")), True),
        (OperationalError("", {}, _ServerError(2002, "Can't connect through socket")), True),
        (OperationalError("", {}, _ServerError(2003, "Can't connect to MySQL server")), True),
        (OperationalError("", {}, _ServerError(2006, "MySQL server has gone away")), True),
        (OperationalError("", {}, _ServerError(2013, "Lost connection during query")), True),
        (ProgrammingError("", {}, _ServerError(1146, "Table 'x.t' doesn't exist")), False),
        (OperationalError("", {}, _ServerError(1045, "Access denied")), False),
        (OperationalError("", {}, sqlite3.OperationalError("no such table: t")), False),
        (OperationalError("", {}, sqlite3.OperationalError("database or disk is full")), False),
        (IntegrityError("", {}, sqlite3.IntegrityError("UNIQUE constraint failed")), False),
        (RuntimeError("locked"), False),
    ],
)
def test_which_errors_may_pass(error: BaseException, expected: bool) -> None:
    assert is_transient(error) is expected


# -- the clock ---------------------------------------------------------------------------------


def test_the_clock_of_the_database_counts_microseconds_since_1970(database: Database) -> None:
    before = time.time() * 1e6
    with database.read() as connection:
        now = connection.scalar(select(now_us()))
    after = time.time() * 1e6
    # SQLite's clock is cut to milliseconds.
    assert isinstance(now, int)
    assert before - 1500 <= now <= after + 1500
