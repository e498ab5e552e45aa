"""Reading many rows of numbers into one array."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, Select, func, select

from tianyu.schema.base import Single
from tianyu.schema.dialects import gathered, gathers_texts, widened

FloatArray = NDArray[np.float64]

ROWS_AT_A_TIME = 50_000
"""Rows are objects of some hundred bytes until they have become numbers."""


def read_numbers(
    connection: Connection,
    group: Sequence[ColumnElement[Any]],
    others: Sequence[ColumnElement[Any]],
    where: ColumnElement[bool],
) -> FloatArray:
    """Read columns of numbers, in no particular order of rows.

    From SQLite row by row. MySQL and MariaDB gather the rows of a group into one text, which
    is read at once: PyMySQL, which is written in Python, takes 15 µs for a row, this 4 µs.

    Parameters
    ----------
    connection : Connection
        In a transaction.
    group : sequence of columns
        Columns, never NULL, that divide the rows into groups of up to some 100 000: the first
        ones of the key.
    others : sequence of columns
        Columns of one table that differ within a group: whole numbers, or of single precision.
        Of some doubles of 17 digits MySQL writes only 16 into a text.
    where : ColumnElement
        Which rows.

    Returns
    -------
    ndarray, shape (n_row, n_group + n_other)
        Columns in the given order; NULL is NaN.
    """
    if gathers_texts(connection):
        table = _read_gathered(connection, group, others, where)
        if table is not None:
            return table
    return _read_rows(connection, select(*group, *others).where(where), len(group) + len(others))


def _read_rows(connection: Connection, query: Select[Any], n_columns: int) -> FloatArray:
    parts = connection.execute(query).partitions(ROWS_AT_A_TIME)
    # None becomes NaN on the way to float.
    blocks = [np.array([tuple(row) for row in rows], dtype=np.float64) for rows in parts]
    return np.concatenate([np.empty((0, n_columns)), *blocks])


def _read_gathered(
    connection: Connection,
    group: Sequence[ColumnElement[Any]],
    others: Sequence[ColumnElement[Any]],
    where: ColumnElement[bool],
) -> FloatArray | None:
    """Return the rows, or None where the text of a group is longer than the server allows."""
    line = func.concat_ws(",", *(_as_text(column) for column in others))
    query = select(*group, func.count().label("n"), gathered(line)).where(where).group_by(*group)
    n_columns = len(group) + len(others)
    singles = [i for i, column in enumerate(others) if isinstance(column.type, Single)]
    blocks = [np.empty((0, n_columns))]
    for *key, n, text in connection.execute(query):
        values = np.fromstring(text, sep=",")
        if len(values) != n * len(others):
            return None
        values = values.reshape(n, len(others))
        # MySQL's text has 22 characters: too few for some, but nine digits tell singles apart.
        values[:, singles] = values[:, singles].astype(np.float32)
        block = np.empty((n, n_columns))
        block[:, : len(group)] = key
        block[:, len(group) :] = values
        blocks.append(block)
    return np.concatenate(blocks)


def _as_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    whole = widened(column) if isinstance(column.type, Single) else column
    return func.coalesce(whole, "nan") if getattr(column, "nullable", True) else whole
