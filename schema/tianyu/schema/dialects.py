"""Everything in which SQLite and MySQL/MariaDB differ.

Beside :mod:`tianyu.schema.jsonrows` no other file knows a dialect by name.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Double,
    Engine,
    LargeBinary,
    Table,
    create_engine,
    event,
    text,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, DisconnectionError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from tianyu.schema import loadfile
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.statements import insert_rows

WRITE_OPTION = "tianyu_write"
"""Execution option of connections that are going to write."""

SQLITE_BUSY_TIMEOUT_MS = 20_000
# Longer than the longest commit we make, shorter than the shortest lease we allow.

MYSQL_UNREACHABLE = frozenset({1040, 1053, 2002, 2003, 2006, 2013})
"""Too many connections, shutting down, no socket, no connection, gone away, lost."""

MYSQL_TRANSIENT = frozenset(
    {
        1205, 1213, 1020,  # lock wait timeout, deadlock, row changed since it was read
        2002, 2003, 2006, 2013, 2055,  # cannot connect, server gone or lost
        1053, 1077, 1927, 4031,  # shutting down, connection killed, closed for being idle
        1040, 1203,  # too many connections
        1158, 1159, 1160, 1161,  # the network broke while a packet was on its way
    }
)  # fmt: skip

MYSQL_NETWORK_TIMEOUT_S = 300
"""A server that says nothing for so long is taken for lost: a cut network sends no farewell."""

SERVER_STATUS_IN_TRANS = 1
"""Flag of the MySQL protocol."""

MYSQL_IDLE_S = 1.0
"""A connection that was not used for so long is asked whether it still lives."""

MIGRATION_PATIENCE_S = 240
"""How long one ``tianyu init`` waits for another that is changing the tables; shorter than the
network's silence."""


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
def _now_us_mysql(element: now_us, compiler: SQLCompiler, **kw: Any) -> str:
    # SYSDATE would differ within a statement; NOW is the statement's one time.
    return "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"


class widened(FunctionElement[float]):  # noqa: N801 - reads as the SQL function it is
    """A column of single precision with all of its digits; MySQL would write only six."""

    type = Double()
    inherit_cache = True
    name = "widened"


@compiles(widened)
def _widened(element: widened, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clauses, **kw)


@compiles(widened, "mysql")
def _widened_mysql(element: widened, compiler: SQLCompiler, **kw: Any) -> str:
    # A sum of doubles is a double; CAST AS DOUBLE came only with MySQL 8.0.17.
    return f"({compiler.process(element.clauses, **kw)} + 0e0)"


class packed_doubles(FunctionElement[bytes]):  # noqa: N801 - reads as the SQL function it is
    """The numbers of all rows of a group as bytes; MySQL and MariaDB only.

    Written as a text a number takes five times as long, at either end. The one binary form that
    both can write is that of a line through points, two numbers in each.
    """

    type = LargeBinary()
    inherit_cache = True
    name = "packed_doubles"
    LEAST = 4
    """Fewer numbers make no line, nor do odd ones: others have to be added."""


@compiles(packed_doubles, "mysql")
def _packed_doubles_mysql(element: packed_doubles, compiler: SQLCompiler, **kw: Any) -> str:
    numbers = [compiler.process(clause, **kw) for clause in element.clauses]
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    line = ", ".join(f"POINT({x}, {y})" for x, y in pairs)
    return f"GROUP_CONCAT(ST_AsWKB(LINESTRING({line})) SEPARATOR '')"


def packs_doubles(connection: Connection) -> bool:
    """Tell whether :class:`packed_doubles` is to be had, and worth it."""
    return connection.dialect.name != "sqlite"


def plain_url(url: URL) -> URL:
    """Return the URL with the driver we know how to use: PyMySQL for MySQL and MariaDB."""
    if url.drivername in {"mysql", "mariadb", "mariadb+pymysql"}:
        return url.set(drivername="mysql+pymysql")
    return url


def engine_options(url: URL) -> dict[str, Any]:
    """Return the arguments for ``create_engine`` that a dialect needs."""
    if url.get_backend_name() == "sqlite":
        return {}
    arguments: dict[str, Any] = {
        "read_timeout": MYSQL_NETWORK_TIMEOUT_S,
        "write_timeout": MYSQL_NETWORK_TIMEOUT_S,
        # Lets us ask for bulk loading; whether the server agrees is seen later.
        "local_infile": True,
        "charset": "utf8mb4",
    }
    return {
        "isolation_level": "READ COMMITTED",
        "pool_recycle": 300,
        # Done by _roll_back_rest, and only where there is something to roll back.
        "pool_reset_on_return": None,
        # What the URL says comes first.
        "connect_args": {k: v for k, v in arguments.items() if k not in url.query},
    }


def prepare(engine: Engine) -> None:
    """Attach to an engine what its dialect needs on every new connection."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _prepare_mysql)
        event.listen(engine, "reset", _roll_back_rest)
        event.listen(engine, "checkin", _note_use)
        event.listen(engine, "checkout", _ask_if_idle)
        if "ssl_ca" in engine.url.query:
            event.listen(engine, "connect", _refuse_plain_mysql)


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
        # The same on every server: no value is cut to fit, no name is quoted by accident.
        cursor.execute(
            "SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
        )
        # A dead connection must not hold its row locks for eight hours.
        cursor.execute("SET innodb_lock_wait_timeout = 20, wait_timeout = 600")
        # Up to the size of a packet; MySQL would end packed numbers after 1024 bytes.
        cursor.execute("SET group_concat_max_len = @@max_allowed_packet")


def _roll_back_rest(connection: Any, _record: Any, _state: Any) -> None:
    """Leave nothing of a transaction that was interrupted to whoever comes next."""
    # The server tells with each answer; a rollback without need costs a round trip.
    if connection.server_status & SERVER_STATUS_IN_TRANS:
        connection.rollback()


def _note_use(_connection: Any, record: Any) -> None:
    record.info["last_used"] = time.monotonic()


def _ask_if_idle(connection: Any, record: Any, _proxy: Any) -> None:
    """Replace a connection that was lost while nobody used it.

    SQLAlchemy's own way asks before every transaction, which costs a round trip each time; one
    that is lost between two transactions in a row is repeated by :meth:`Database.retry`.
    """
    last_used = record.info.get("last_used")
    if last_used is None or time.monotonic() - last_used < MYSQL_IDLE_S:
        return
    try:
        connection.ping(reconnect=False)
    except Exception as error:
        raise DisconnectionError from error


def _refuse_plain_mysql(connection: Any, _record: Any) -> None:
    # Drivers have been known to go on in plain text where the server offers no TLS.
    with connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
        row = cursor.fetchone()
    if row is None or not row[1]:
        connection.close()
        raise ConfigurationError(
            "the database offers no TLS, but tls_ca or ssl_ca asks for it; enable it there"
        )


@contextmanager
def migrating(connection: Connection) -> Iterator[None]:
    """Keep others from changing tables meanwhile.

    SQLite's writers exclude each other anyway. MySQL commits at every change of a table, so
    that only a lock by name can do it.

    Raises
    ------
    ConfigurationError
        If somebody else does not finish.
    """
    if connection.dialect.name == "sqlite":
        yield
        return
    # The name holds for a whole server, on which several surveys may have their databases.
    name = {"name": f"tianyu {connection.engine.url.database}"[:64]}
    patience = name | {"patience": MIGRATION_PATIENCE_S}
    if connection.scalar(text("SELECT GET_LOCK(:name, :patience)"), patience) != 1:
        raise ConfigurationError(
            f"another `tianyu init` has been changing {connection.engine.url.database} for "
            f"{MIGRATION_PATIENCE_S} s; see SHOW PROCESSLIST on the server"
        )
    try:
        yield
    finally:
        connection.execute(text("SELECT RELEASE_LOCK(:name)"), name)


def create_database(url: URL) -> None:
    """Make the database that a URL names where its server has none, or the folder of its file.

    Raises
    ------
    sqlalchemy.exc.DBAPIError
        If the server does not answer, or the user may not.
    """
    if url.get_backend_name() == "sqlite":
        Path(url.database or "").parent.mkdir(parents=True, exist_ok=True)
        return
    server = create_engine(url.set(database=""), **engine_options(url))
    name = server.dialect.identifier_preparer.quote_identifier(str(url.database))
    known = text("SELECT 1 FROM information_schema.schemata WHERE schema_name = :name")
    try:
        # Asked first: who may use a database need not be one who may make it.
        with server.begin() as connection:
            if connection.scalar(known, {"name": url.database}) is None:
                connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    finally:
        server.dispose()


def is_unreachable(error: BaseException) -> bool:
    """Tell whether a server cannot be connected to now: waiting helps, a new password does not."""
    original = error.orig if isinstance(error, DBAPIError) else None
    return bool(original is not None and original.args and original.args[0] in MYSQL_UNREACHABLE)


def is_transient(error: BaseException) -> bool:
    """Tell whether repeating a whole transaction may succeed: deadlock, busy, server away."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    original = error.orig
    if original is not None and original.args and original.args[0] in MYSQL_TRANSIENT:
        return True
    message = str(original).lower()
    return isinstance(error, OperationalError) and ("locked" in message or "busy" in message)


def bulk_insert(
    connection: Connection, table: Table, names: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    """Insert many rows by the fastest way of the dialect; the rows are the same by all ways.

    Parameters
    ----------
    connection : Connection
        In a transaction.
    table : Table
    names : sequence of str
        Columns.
    rows : iterable of tuples
        Values in the order of ``names``, as the driver takes them; no NaN.

    Raises
    ------
    sqlalchemy.exc.DBAPIError
        As an INSERT would: keys taken twice, values that do not fit.
    """
    if connection.dialect.name == "sqlite":
        insert_rows(connection, table, names, rows)
        return
    rows = list(rows)
    if not rows:
        return
    if loadfile.is_worth_it(connection, len(rows)) and not loadfile.holds_bytes(rows):
        loadfile.load(connection, table, names, rows)
    else:
        insert_rows(connection, table, names, rows)
