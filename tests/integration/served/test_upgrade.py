"""An upgrade keeps every row, and consumers of the version before may go on meanwhile.

So a migration only adds: what an older program reads is still there, and what it writes is still
taken. Whoever must change or drop a column does so two versions later.
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, Select, Table, insert, select, types

from tianyu.schema import dialects, migrate
from tianyu.schema.database import Database, sqlite_url

OLDER = [
    script.revision
    for script in ScriptDirectory(str(migrate.MIGRATIONS)).walk_revisions()
    if script.revision != migrate.newest_revision()
][::-1]
"""From the first on."""

AFTERWARDS = 100
"""Added to the numbers of rows that are written into the newest schema."""

Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(params=["sqlite", "mysql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    is_embedded = request.param == "sqlite"
    url = sqlite_url(tmp_path / "t.sqlite") if is_embedded else None
    database = Database(url or request.getfixturevalue("database_url"))
    yield database
    database.dispose()


def test_rows_are_kept_and_older_programs_still_write(empty: Database) -> None:
    """One database lives through all versions, and each leaves a row in all its tables."""
    tables: list[MetaData] = []
    rows: list[Rows] = []
    for number, revision in enumerate(OLDER, start=1):
        with empty.write() as connection, dialects.migrating(connection):
            command.upgrade(migrate._config(connection), revision)
        with empty.write() as connection:
            tables.append(reflect(connection))
        fill(empty, tables[-1], number)
        rows.append(read(empty, tables[-1], number))
        assert all(len(found) == 1 for found in rows[-1].values())

    migrate.upgrade(empty)

    for number, (of_old, found) in enumerate(zip(tables, rows, strict=True), start=1):
        assert read(empty, of_old, number) == found, OLDER[number - 1]
        fill(empty, of_old, AFTERWARDS + number)
        added = read(empty, of_old, AFTERWARDS + number)
        assert all(len(found) == 1 for found in added.values()), OLDER[number - 1]


def reflect(connection: Connection) -> MetaData:
    """Return the tables as they are, not as the code of today has them."""
    metadata = MetaData()
    metadata.reflect(connection)
    metadata.remove(metadata.tables["alembic_version"])
    return metadata


def fill(database: Database, tables: MetaData, number: int) -> None:
    """Write a row with this number into every table."""
    with database.write() as connection:
        for table in tables.sorted_tables:
            connection.execute(insert(table), row(table, number))


def read(database: Database, tables: MetaData, number: int) -> Rows:
    """Return the rows with this number, of the columns that were known."""
    with database.read() as connection:
        return {
            table.name: [tuple(found) for found in connection.execute(numbered(table, number))]
            for table in tables.sorted_tables
        }


def numbered(table: Table, number: int) -> Select[Any]:
    """Look for the row of a number by the keys of its table."""
    keys = [column == value(column, number) for column in table.primary_key.columns]
    return select(table).where(*keys)


def row(table: Table, number: int) -> dict[str, Any]:
    """Make a row whose keys, own and foreign, are a number."""
    return {column.name: value(column, number) for column in table.columns}


VALUES: list[tuple[type[types.TypeEngine[Any]], Callable[[int], Any]]] = [
    (types.DateTime, lambda number: datetime(2026, 1, 1) + timedelta(days=number)),
    (types.JSON, lambda number: {"n": number}),
    (types._Binary, lambda number: bytes([number])),
    (types.Float, lambda number: number + 0.5),
    (types.Integer, lambda number: number),
    (types.Boolean, lambda _number: True),
]


def value(column: Column[Any], number: int) -> Any:
    if column.name == "state":
        return "waiting"
    make = next((make for kind, make in VALUES if isinstance(column.type, kind)), str)
    return make(number)
