"""Databases that the conformance suite runs on; one more is one more entry in ``BACKENDS``."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, select

from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.migrate import upgrade
from tianyu.schema.states import TRANSITIONS, State
from tianyu.schema.tables import metadata

extra = MetaData()

PRODUCT = Table(
    "product",
    extra,
    Column("process_id", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
)
"""What a step makes: a row that must be there once per success, and never without one."""

STATE_LOG = Table(
    "state_log",
    extra,
    Column("process_id", BigInteger, nullable=False),
    Column("old", String(10), nullable=False),
    Column("new", String(10), nullable=False),
)
"""Every change of a state, written by a trigger: nothing that happens in between is missed."""

SQLITE_TRIGGER = """
CREATE TRIGGER log_state AFTER UPDATE OF state ON process WHEN OLD.state <> NEW.state
BEGIN
    INSERT INTO state_log (process_id, old, new) VALUES (OLD.id, OLD.state, NEW.state);
END
"""


MYSQL_TRIGGER = """
CREATE TRIGGER log_state AFTER UPDATE ON process FOR EACH ROW
    INSERT INTO state_log (process_id, old, new)
    SELECT OLD.id, OLD.state, NEW.state FROM DUAL WHERE OLD.state <> NEW.state
"""


@dataclass(frozen=True)
class Backend:
    """Where a new database of one kind is, and how to make it log changes of states."""

    url: Callable[[pytest.FixtureRequest], AbstractContextManager[str]]
    trigger: str


@contextmanager
def _sqlite_file(request: pytest.FixtureRequest) -> Iterator[str]:
    folder = request.getfixturevalue("tmp_path_factory").mktemp("engine")
    yield sqlite_url(folder / "engine.sqlite")


@contextmanager
def _on_server(request: pytest.FixtureRequest) -> Iterator[str]:
    with request.getfixturevalue("database_server").fresh_database() as url:
        yield url


BACKENDS = {
    "sqlite": Backend(_sqlite_file, SQLITE_TRIGGER),
    # MariaDB, or the MySQL that a variable or the machine provides.
    "mysql": Backend(_on_server, MYSQL_TRIGGER),
}


@contextmanager
def prepared(name: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """Open a database of one kind with all tables, and the two of the tests."""
    backend = BACKENDS[name]
    with backend.url(request) as url, closing(url) as database:
        upgrade(database)
        with database.write() as connection:
            extra.create_all(connection)
            connection.exec_driver_sql(backend.trigger)
        yield database


@contextmanager
def closing(url: str) -> Iterator[Database]:
    """Open a database, and let go of its connections in the end."""
    database = Database(url)
    try:
        yield database
    finally:
        database.dispose()


def clear(database: Database) -> None:
    """Empty every table."""
    with database.write() as connection:
        for table in [*reversed(metadata.sorted_tables), *extra.sorted_tables]:
            connection.execute(table.delete())


def forbidden_changes(database: Database) -> set[tuple[State, State]]:
    """Return the changes of states that happened and are not in the table of allowed ones."""
    with database.read() as connection:
        seen = connection.execute(select(STATE_LOG.c.old, STATE_LOG.c.new).distinct()).all()
    pairs = {(State(old), State(new)) for old, new in seen}
    return {(old, new) for old, new in pairs if new not in TRANSITIONS[old]}
