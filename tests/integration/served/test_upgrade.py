"""An upgrade keeps every row, and consumers of the version before may go on meanwhile.

So a migration only adds: what an older program reads is still there, and what it writes is still
taken. Whoever must change or drop a column does so two versions later.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Column, Connection, MetaData, Table, insert, select, types

from tianyu.schema import dialects, migrate
from tianyu.schema.database import Database, sqlite_url

OLDER = [
    script.revision
    for script in ScriptDirectory(str(migrate.MIGRATIONS)).walk_revisions()
    if script.revision != migrate.newest_revision()
]


@pytest.fixture(params=["sqlite", "mysql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    is_embedded = request.param == "sqlite"
    url = sqlite_url(tmp_path / "t.sqlite") if is_embedded else None
    database = Database(url or request.getfixturevalue("database_url"))
    yield database
    database.dispose()


@pytest.mark.parametrize("revision", OLDER)
def test_rows_are_kept_and_older_programs_still_write(empty: Database, revision: str) -> None:
    with empty.write() as connection, dialects.migrating(connection):
        command.upgrade(migrate._config(connection), revision)
    with empty.write() as connection:
        before = reflect(connection)
        for table in before.sorted_tables:
            connection.execute(insert(table), row(table, 1))
    rows = read(empty, before)
    assert all(len(found) == 1 for found in rows.values())

    migrate.upgrade(empty)

    assert read(empty, before) == rows
    with empty.write() as connection:
        for table in before.sorted_tables:
            connection.execute(insert(table), row(table, 2))
    assert all(len(found) == 2 for found in read(empty, before).values())


def reflect(connection: Connection) -> MetaData:
    """Return the tables as they are, not as the code of today has them."""
    metadata = MetaData()
    metadata.reflect(connection)
    metadata.remove(metadata.tables["alembic_version"])
    return metadata


def read(database: Database, tables: MetaData) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row, of the columns that were known."""
    with database.read() as connection:
        return {
            table.name: [tuple(found) for found in connection.execute(select(table))]
            for table in tables.sorted_tables
        }


def row(table: Table, number: int) -> dict[str, Any]:
    """Make a row whose keys, own and foreign, are a number."""
    return {column.name: value(column, number) for column in table.columns}


VALUES: list[tuple[type[types.TypeEngine[Any]], Callable[[int], Any]]] = [
    (types.DateTime, lambda number: datetime(2026, 1, number)),
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
