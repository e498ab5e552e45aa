"""Everything in which SQLite and MySQL/MariaDB differ; no other file knows a dialect by name."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, Engine, Insert, Table, event
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

WRITE_OPTION = "tianyu_write"
"""Execution option of connections that are going to write."""

SQLITE_BUSY_TIMEOUT_MS = 20_000
# Longer than the longest commit we make, shorter than the shortest lease we allow.

MYSQL_TRANSIENT = frozenset({1205, 1213, 2006, 2013, 2055, 1053, 1040, 1203, 4031})
# Lock wait timeout, deadlock, server gone or shutting down, too many connections, idle kill.


class now_us(FunctionElement[int]):  # noqa: N801 - reads as the SQL function it is
    """The database's own clock, microseconds since 1970 UTC."""

    type = BigInteger()
    inherit_cache = True
    name = "now_us"


@compiles(now_us, "sqlite")
def _now_us_sqlite(element: now_us, compiler: SQLCompiler, **kw: Any) -> str:
    # julianday() resolves milliseconds, which is as fine as SQLite's clock gets.
    return "(CAST(ROUND((julianday('now') - 2440587.5) * 86400000.0) AS INTEGER) * 1000)"


@compiles(now_us, "mysql")
@compiles(now_us, "mariadb")
def _now_us_mysql(element: now_us, compiler: SQLCompiler, **kw: Any) -> str:
    # SYSDATE would differ within a statement; NOW is the statement's one time.
    return "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"


def prepare(engine: Engine) -> None:
    """Attach to an engine what its dialect needs on every new connection."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _prepare_mysql)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # Python's driver would otherwise begin transactions by itself, and as deferred ones.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout = {SQLITE_BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        # WAL with NORMAL survives the death of any process; power loss may cost the last
        # commits but never consistency, and the engine then repeats that work.
        "synchronous = NORMAL",
        "foreign_keys = ON",
        "cache_size = -65536",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that writes after reading fails at once, without waiting for
    # its turn, when another one wrote in between.
    writes = connection.get_execution_options().get(WRITE_OPTION, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _prepare_mysql(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        # A dead connection must not hold its row locks for eight hours.
        cursor.execute("SET innodb_lock_wait_timeout = 20, wait_timeout = 600")


def engine_options(url_dialect: str) -> dict[str, Any]:
    """Return the arguments for ``create_engine`` that a dialect needs."""
    if url_dialect == "sqlite":
        return {}
    return {"isolation_level": "READ COMMITTED", "pool_pre_ping": True, "pool_recycle": 300}


def is_transient(error: BaseException) -> bool:
    """Tell whether repeating a whole transaction may succeed: deadlock, busy, server away."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    original = error.orig
    if original is not None and original.args and original.args[0] in MYSQL_TRANSIENT:
        return True
    text = str(original).lower()
    return isinstance(error, OperationalError) and ("locked" in text or "busy" in text)


def insert_ignore(statement: Insert, dialect: Dialect) -> Insert:
    """Make an INSERT skip rows whose key is already there."""
    return statement.prefix_with("OR IGNORE" if dialect.name == "sqlite" else "IGNORE")


def bulk_insert(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Insert many rows by the fastest way of the dialect.

    Parameters
    ----------
    connection : Connection
        In a transaction.
    table : Table
    names : sequence of str
        Columns.
    rows : sequence of sequences
        Values in the order of ``names``; no NaN.
    """
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name in names)
    mark = "?" if connection.dialect.paramstyle == "qmark" else "%s"
    marks = ", ".join([mark] * len(names))
    # PyMySQL turns an executemany of this shape into multi-row inserts.
    sql = f"INSERT INTO {quote(table.name)} ({columns}) VALUES ({marks})"  # noqa: S608 - our names
    if rows:
        connection.exec_driver_sql(sql, [tuple(row) for row in rows])
