"""Loading many rows by ``LOAD DATA LOCAL INFILE``, where the server allows it.

The statement reads a text that the client sends, without parsing SQL: the fastest way into
MySQL and MariaDB that needs no rights beyond INSERT. It has one trap, which is closed here:
with LOCAL the server *skips* rows whose key is taken and *bends* values that do not fit, and
only warns of it.
"""

import os
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import NoneType
from typing import Any

from sqlalchemy import Connection, Table

LEAST_ROWS = 200
"""Below this the temporary file and the look at the warnings cost more than they save."""

ROWS_AT_A_TIME = 50_000
"""Bounds the text in memory to about 10 MB."""

SINGLE_BITS = 24
"""Precision of a FLOAT."""

NULL = r"\N"

SUPPORT = "tianyu_loads_files"

_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r", "\0": r"\0"})


def is_worth_it(connection: Connection, rows: Sequence[Sequence[Any]]) -> bool:
    """Tell whether rows should and can be loaded as a file; the server is asked once."""
    if connection.dialect.name == "sqlite" or len(rows) < LEAST_ROWS:
        return False
    # Bytes are no text in any character set.
    if any(isinstance(value, bytes) for value in rows[0]):
        return False
    if SUPPORT not in connection.info:
        connection.info[SUPPORT] = _is_allowed(connection)
    return bool(connection.info[SUPPORT])


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
        _load(connection, table, names, rows[start : start + ROWS_AT_A_TIME])


def _load(
    connection: Connection, table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name in names)
    # Not deleted by the context: Windows does not let the driver open it a second time.
    handle, name = tempfile.mkstemp(prefix="tianyu-load-", suffix=".tsv")
    path = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(text_of(table, names, rows))
        result = connection.exec_driver_sql(
            f"LOAD DATA LOCAL INFILE %s INTO TABLE {quote(table.name)} "
            f"CHARACTER SET utf8mb4 LINES TERMINATED BY '\\n' ({columns})",
            (str(path),),
        )
    finally:
        path.unlink()
    _raise_warning(connection)
    if result.rowcount != len(rows):
        raise RuntimeError(
            f"{result.rowcount} of {len(rows)} rows arrived in {table.name} without a warning"
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


def text_of(table: Table, names: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    r"""Return rows as the text of a file: tabs, line feeds, ``\N`` for NULL.

    Examples
    --------
    >>> from sqlalchemy import Column, Integer, MetaData, String
    >>> table = Table("t", MetaData(), Column("a", Integer), Column("b", String(9)))
    >>> text_of(table, ["a", "b"], [(1, "x\ty"), (None, None)])
    b'1\tx\\ty\n\\N\t\\N\n'
    """
    pairs = [
        _formatted(values, getattr(table.c[name].type, "precision", None))
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    ]
    line = "\t".join(format_ for format_, _ in pairs) + "\n"
    # One operation of the interpreter per row; per value would cost as much as the server.
    return "".join(map(line.__mod__, zip(*(values for _, values in pairs), strict=True))).encode()


def _formatted(values: Sequence[Any], precision_bits: int | None) -> tuple[str, Sequence[Any]]:
    """Return a column, and the format that turns each of its values into text."""
    kinds = set(map(type, values))
    if kinds <= {int, bool}:
        return "%d", values
    if kinds <= {float, NoneType}:
        # Nine digits tell all numbers of single precision apart, and take half the time; with
        # the tenth the largest one is not rounded up to what is too large.
        digits = "%.10g" if precision_bits == SINGLE_BITS else "%r"
        if kinds == {float}:
            return digits, values
        return "%s", [NULL if value is None else digits % value for value in values]
    return "%s", [_text(value) for value in values]


def _text(value: Any) -> str:
    if value is None:
        return NULL
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, str):
        return value.translate(_ESCAPES)
    return repr(value)
