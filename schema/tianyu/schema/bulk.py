"""Writing many rows from arrays."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Boolean, Connection, Float, Integer, Table
from sqlalchemy import Column as SqlColumn

from tianyu.schema import loadfile
from tianyu.schema.base import Single
from tianyu.schema.dialects import bulk_insert
from tianyu.schema.statements import insert_slices, takes_slices, without_nan

Column = NDArray[Any] | Sequence[Any]

_NUMBERS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys("biu", (Integer, Boolean)),
    "f": (Float, Single),
}
"""Types of columns for numbers, by kinds of arrays."""


def insert_columns(connection: Connection, table: Table, columns: Mapping[str, Column]) -> int:
    """Insert rows given as columns.

    Parameters
    ----------
    connection : Connection
        In a transaction.
    table : Table
    columns : mapping of str to array
        One-dimensional, all of one length; NaN and infinities become NULL. Times and JSON are
        given as Python values and written as the type of the column wants them.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    ValueError
        If the lengths differ, an array is not one-dimensional, or a column is unknown to the
        table.
    """
    unknown = [name for name in columns if name not in table.c]
    if unknown:
        raise ValueError(f"table {table.name} has no column {', '.join(unknown)}")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns for {table.name} differ in length: {lengths}")
    columns = {name: _as_stored(table.c[name], values) for name, values in columns.items()}
    n_rows = max(lengths.values(), default=0)
    if not n_rows:
        return 0
    if _are_numbers(columns, table) and loadfile.is_worth_it(connection, n_rows):
        loadfile.load_numbers(connection, table, columns)
        return n_rows
    ready = {name: _converted(connection, table.c[name], v) for name, v in columns.items()}
    if takes_slices(connection):
        insert_slices(connection, table, ready)
    else:
        rows = zip(*map(without_nan, ready.values()), strict=True)
        bulk_insert(connection, table, list(ready), rows)
    return n_rows


def plain(value: Any) -> Any:
    """Return a scalar as the database driver takes it: no NumPy type, NULL for NaN."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _as_stored(column: SqlColumn[Any], values: Column) -> Column:
    """Return floating-point numbers of an array in the precision of their column."""
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        return values
    # What is too large for single precision becomes infinite, and then NULL.
    with np.errstate(over="ignore"):
        return values.astype(np.float32 if isinstance(column.type, Single) else np.float64)


def _are_numbers(
    columns: Mapping[str, Column], table: Table
) -> TypeGuard[Mapping[str, NDArray[Any]]]:
    """Tell whether all columns are arrays of numbers for columns of such numbers."""
    return all(
        isinstance(values, np.ndarray)
        and values.ndim == 1
        and isinstance(table.c[name].type, _NUMBERS.get(values.dtype.kind, ()))
        for name, values in columns.items()
    )


def _converted(connection: Connection, column: SqlColumn[Any], values: Column) -> Column:
    """Return an array of numbers, nothing infinite, or a list of what the driver takes."""
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise ValueError(f"a column has one dimension, not shape {values.shape}")
        if values.dtype.kind == "f":
            finite = np.isfinite(values)
            return values if finite.all() else np.where(finite, values, np.nan)
        if values.dtype.kind in "biu":
            return values
        values = list(values.tolist())
    plain_values = [plain(value) for value in values]
    dialect = connection.dialect
    convert = column.type.dialect_impl(dialect).bind_processor(dialect)
    if convert is None:
        return plain_values
    # NULL stays NULL; the type of JSON would write the text "null".
    return [None if value is None else convert(value) for value in plain_values]
