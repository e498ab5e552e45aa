"""Inserting many rows by statements that each hold many of them."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table

Values = NDArray[Any] | Sequence[Any]
"""A column: an array of numbers, or values as the driver takes them."""

VARIABLES = 999
"""Of one statement, in any version of SQLite."""

MOST_VARIABLES = 9_999
"""Where SQLite takes more: each statement costs SQLAlchemy as much as some ten rows."""


def insert_rows(
    connection: Connection, table: Table, names: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> None:
    """Insert rows of plain values.

    Parameters
    ----------
    connection : Connection
        In a transaction.
    table : Table
    names : sequence of str
        Columns.
    rows : iterable of tuples
        Values as the driver takes them, in the order of ``names``.
    """
    into, row = _into(connection, table, names)
    if not takes_slices(connection):
        # PyMySQL turns an executemany of this shape into multi-row inserts.
        connection.exec_driver_sql(f"{into}({', '.join(['%s'] * len(names))})", list(rows))
        return
    at_a_time = max(VARIABLES // len(names), 1)
    full = into + ", ".join([row] * at_a_time)
    rest = iter(rows)
    while values := tuple(chain.from_iterable(islice(rest, at_a_time))):
        n_rows = len(values) // len(names)
        sql = full if n_rows == at_a_time else into + ", ".join([row] * n_rows)
        connection.exec_driver_sql(sql, values)


def takes_slices(connection: Connection) -> bool:
    """Tell whether the driver is SQLite's, which :func:`insert_slices` is for."""
    return connection.dialect.paramstyle == "qmark"


def insert_slices(connection: Connection, table: Table, columns: Mapping[str, Values]) -> None:
    """Insert rows given as columns into SQLite, which takes NaN for NULL.

    Numbers become objects some hundred rows at a time: those of a whole night would wander
    through the processor's cache, and set off the collector of garbage.

    Parameters
    ----------
    connection : Connection
        In a transaction.
    table : Table
    columns : mapping of str to array or sequence
        All of one length: arrays of numbers, nothing infinite, or values as the driver takes them.
    """
    driver: Any = connection.connection.driver_connection
    most = min(driver.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER), MOST_VARIABLES)
    into, row = _into(connection, table, list(columns))
    n_columns, n_rows = len(columns), max(map(len, columns.values()), default=0)
    at_a_time = max(most // n_columns, 1)
    values = list(columns.values())
    whole = n_rows - n_rows % at_a_time
    many, flat = into + ", ".join([row] * at_a_time), [None] * (at_a_time * n_columns)
    for start in range(0, whole, at_a_time):
        for i, column in enumerate(values):
            flat[i::n_columns] = _listed(column[start : start + at_a_time])
        connection.exec_driver_sql(many, tuple(flat))
    if whole < n_rows:
        # A statement of any other length would be parsed for this once.
        rest = zip(*(_listed(column[whole:]) for column in values), strict=True)
        connection.exec_driver_sql(into + row, list(rest))


def without_nan(values: Values) -> Sequence[Any]:
    """Return a column with None for NaN, for drivers that would write it as a text."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        unknown = np.isnan(values)
        if unknown.any():
            # As doubles first: a single would be boxed as a type that drivers do not know.
            boxed = values.astype(np.float64).astype(object)
            boxed[unknown] = None
            return list(boxed.tolist())
    return _listed(values)


def _listed(values: Values) -> Sequence[Any]:
    if isinstance(values, np.ndarray):
        numbers: list[Any] = values.tolist()
        return numbers
    return values


def _into(connection: Connection, table: Table, names: Sequence[str]) -> tuple[str, str]:
    """Return the head of the statement, and the marks of one row."""
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name in names)
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {quote(table.name)} ({columns}) VALUES ", f"({marks})"  # noqa: S608 - our names
