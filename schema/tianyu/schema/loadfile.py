"""Loading many rows by ``LOAD DATA LOCAL INFILE``, where the server allows it.

The statement reads a text that the client sends, without parsing SQL: the fastest way into
MySQL and MariaDB that needs no rights beyond INSERT. It has one trap, which is closed here:
with LOCAL the server *skips* rows whose key is taken and *bends* values that do not fit, and
only warns of it.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from sqlalchemy import Connection, Table

from tianyu.schema.loadtext import text_of_numbers, text_of_rows

LEAST_ROWS = 200
"""Below this the temporary file and the look at the warnings cost more than they save."""

ROWS_AT_A_TIME = 50_000
"""Bounds the text in memory to about 10 MB, twice where there are more rows."""

SUPPORT = "tianyu_loads_files"


def is_worth_it(connection: Connection, n_rows: int) -> bool:
    """Tell whether so many rows should and can be loaded as a file; the server is asked once."""
    if connection.dialect.name == "sqlite" or n_rows < LEAST_ROWS:
        return False
    if SUPPORT not in connection.info:
        connection.info[SUPPORT] = _is_allowed(connection)
    return bool(connection.info[SUPPORT])


def holds_bytes(rows: Sequence[Sequence[Any]]) -> bool:
    """Tell whether rows cannot be written as text: bytes are none in any character set."""
    return any(isinstance(value, bytes) for value in rows[0])


def _is_allowed(connection: Connection) -> bool:
    driver = connection.connection.driver_connection
    if not getattr(driver, "_local_infile", False):
        return False
    return connection.exec_driver_sql("SELECT @@local_infile").scalar() == 1


def load(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """Load rows of plain values: numbers, texts, times and None.

    Raises
    ------
    sqlalchemy.exc.DBAPIError
        The error an INSERT would have given for the first row that does not fit.
    """
    for start in range(0, len(rows), ROWS_AT_A_TIME):
        part = rows[start : start + ROWS_AT_A_TIME]
        _load(connection, table, names, text_of_rows(table, names, part), len(part))


def load_numbers(connection: Connection, table: Table, columns: Mapping[str, NDArray[Any]]) -> None:
    """Load columns of numbers, as :func:`~tianyu.schema.loadtext.text_of_numbers` takes them.

    Raises
    ------
    sqlalchemy.exc.DBAPIError
        As :func:`load`.
    """
    arrays = list(columns.values())
    starts = range(0, len(arrays[0]), ROWS_AT_A_TIME)
    parts = [[values[start : start + ROWS_AT_A_TIME] for values in arrays] for start in starts]
    for part, content in zip(parts, _texts(parts), strict=True):
        _load(connection, table, list(columns), content, len(part[0]))


def _texts(parts: Sequence[Sequence[NDArray[Any]]]) -> Iterator[bytes]:
    """Yield the text of each part; the next is written while the server reads this one."""
    if len(parts) == 1:
        yield text_of_numbers(parts[0])
        return
    with ThreadPoolExecutor(1, thread_name_prefix="tianyu-load") as writer:
        coming = writer.submit(text_of_numbers, parts[0])
        for part in parts[1:]:
            content, coming = coming.result(), writer.submit(text_of_numbers, part)
            yield content
        yield coming.result()


def _load(
    connection: Connection, table: Table, names: Sequence[str], content: bytes, n_rows: int
) -> None:
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name in names)
    # Not deleted by the context: Windows does not let the driver open it a second time.
    handle, name = tempfile.mkstemp(prefix="tianyu-load-", suffix=".tsv")
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        result = connection.exec_driver_sql(
            f"LOAD DATA LOCAL INFILE %s INTO TABLE {quote(table.name)} "
            f"CHARACTER SET utf8mb4 LINES TERMINATED BY '\\n' ({columns})",
            (str(path),),
        )
    finally:
        path.unlink()
    _raise_warning(connection)
    if result.rowcount != n_rows:
        raise RuntimeError(
            f"{result.rowcount} of {n_rows} rows arrived in {table.name} without a warning"
        )


def _raise_warning(connection: Connection) -> None:
    """Turn the first warning of the last statement into the error that it would have been."""
    warning = connection.exec_driver_sql("SHOW WARNINGS LIMIT 1").one_or_none()
    if warning is None:
        return
    _, number, message = warning
    state = "23000" if number in {1048, 1062, 1263} else "22000"
    connection.exec_driver_sql(
        f"SIGNAL SQLSTATE '{state}' SET MYSQL_ERRNO = {int(number)}, MESSAGE_TEXT = %s",
        (message[:128],),
    )
