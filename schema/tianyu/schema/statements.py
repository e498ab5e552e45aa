"""Inserting many rows by statements that each hold many of them."""

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Any

from sqlalchemy import Connection, Table

VARIABLES = 999
"""Of one statement, in any version of SQLite."""


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
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name in names)
    into = f"INSERT INTO {quote(table.name)} ({columns}) VALUES "  # noqa: S608 - our names
    if connection.dialect.paramstyle != "qmark":
        # PyMySQL turns an executemany of this shape into multi-row inserts.
        connection.exec_driver_sql(f"{into}({', '.join(['%s'] * len(names))})", list(rows))
        return
    row, at_a_time = f"({', '.join('?' * len(names))})", max(VARIABLES // len(names), 1)
    full = into + ", ".join([row] * at_a_time)
    rest = iter(rows)
    while values := tuple(chain.from_iterable(islice(rest, at_a_time))):
        n_rows = len(values) // len(names)
        sql = full if n_rows == at_a_time else into + ", ".join([row] * n_rows)
        connection.exec_driver_sql(sql, values)
