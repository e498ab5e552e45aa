"""Reading many rows of numbers into one array."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, select

from tianyu.schema.dialects import packed_doubles, packs_doubles

FloatArray = NDArray[np.float64]

_HEAD = "V9"
"""Before the numbers of a line in the well-known binary form: byte order, kind, how many points."""
_NULL = -1e300
"""Stands for NULL among packed numbers: nothing that is measured."""


def read_numbers(
    connection: Connection,
    group: Sequence[ColumnElement[Any]],
    others: Sequence[ColumnElement[Any]],
    where: ColumnElement[bool],
) -> FloatArray:
    """Read columns of numbers, in no particular order of rows.

    From SQLite row by row. MySQL and MariaDB pack the rows of a group into one value: PyMySQL,
    which is written in Python, takes 15 µs for a row, this 1 µs for it.

    Parameters
    ----------
    connection : Connection
        In a transaction.
    group : sequence of columns
        Columns, never NULL, that divide the rows into groups of up to some 100 000: the first
        ones of the key.
    others : sequence of columns
        Columns of numbers that differ within a group.
    where : ColumnElement
        Which rows.

    Returns
    -------
    ndarray, shape (n_row, n_group + n_other)
        Columns in the given order; NULL is NaN.
    """
    if packs_doubles(connection):
        table = _read_packed(connection, group, others, where)
        if table is not None:
            return table
    return _read_rows(connection, select(*group, *others).where(where), len(group) + len(others))


def _read_rows(connection: Connection, query: Select[Any], n_columns: int) -> FloatArray:
    # The driver's own rows, one after the other: SQLAlchemy's take four times as long. None
    # becomes NaN on the way to float.
    with connection.execute(query) as result:
        rows: Any = result.cursor
        numbers = np.fromiter(chain.from_iterable(rows), np.float64)
    return numbers.reshape(-1, n_columns)


def _read_packed(
    connection: Connection,
    group: Sequence[ColumnElement[Any]],
    others: Sequence[ColumnElement[Any]],
    where: ColumnElement[bool],
) -> FloatArray | None:
    """Return the rows, or None where those of a group are longer than the server allows."""
    numbers = [_not_null(column) for column in others]
    while len(numbers) < packed_doubles.LEAST or len(numbers) % 2:
        numbers.append(literal_column("0"))
    line = np.dtype([("head", _HEAD), ("numbers", "<f8", (len(numbers),))])
    query = select(*group, func.count(), packed_doubles(*numbers)).where(where).group_by(*group)
    blocks = [np.empty((0, len(group) + len(others)))]
    for *key, n, packed in connection.execute(query):
        if len(packed) != n * line.itemsize:
            return None
        block = np.empty((n, len(group) + len(others)))
        block[:, : len(group)] = key
        block[:, len(group) :] = np.frombuffer(packed, line)["numbers"][:, : len(others)]
        block[block == _NULL] = np.nan
        blocks.append(block)
    return np.concatenate(blocks)


def _not_null(column: ColumnElement[Any]) -> ColumnElement[Any]:
    # No point has a coordinate that is NULL.
    if getattr(column, "nullable", True):
        return func.coalesce(column, literal_column(repr(_NULL)))
    return column
