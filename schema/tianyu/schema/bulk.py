"""Writing many rows from arrays."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table

from tianyu.schema.dialects import bulk_insert

Column = NDArray[Any] | Sequence[Any]


def insert_columns(connection: Connection, table: Table, columns: Mapping[str, Column]) -> int:
    """Insert rows given as columns.

    Parameters
    ----------
    connection : Connection
        In a transaction.
    table : Table
    columns : mapping of str to array
        One-dimensional, all of one length; NaN and infinities become NULL.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    ValueError
        If the lengths differ or a column is unknown to the table.
    """
    unknown = [name for name in columns if name not in table.c]
    if unknown:
        raise ValueError(f"table {table.name} has no column {', '.join(unknown)}")
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns for {table.name} differ in length: {lengths}")
    rows = list(zip(*(_plain(values) for values in columns.values()), strict=True))
    bulk_insert(connection, table, list(columns), rows)
    return len(rows)


def plain(value: Any) -> Any:
    """Return a scalar as the database driver takes it: no NumPy type, NULL for NaN."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _plain(values: Column) -> list[Any]:
    if isinstance(values, np.ndarray):
        if values.dtype.kind == "f":
            finite = np.isfinite(values)
            if not finite.all():
                boxed = values.astype(object)
                boxed[~finite] = None
                return list(boxed.tolist())
        return list(values.tolist())
    return [plain(value) for value in values]
