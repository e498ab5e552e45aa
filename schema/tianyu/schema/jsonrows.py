"""Rows that a statement is given as one parameter, in the ways of SQLite and MySQL/MariaDB."""

from collections.abc import Sequence

from sqlalchemy import Connection


def rows_of_json(
    connection: Connection, parameter: str, columns: Sequence[tuple[str, bool]]
) -> str:
    """Return SQL for a table whose rows come as one parameter: a JSON list of lists.

    Parameters
    ----------
    connection : Connection
    parameter : str
        Name of the bound parameter.
    columns : sequence of (str, bool)
        Names of the columns in the order of the lists, and whether they are integers.
    """
    if connection.dialect.name == "sqlite":
        found = ", ".join(
            f"json_extract(value, '$[{i}]') AS {name}" for i, (name, _) in enumerate(columns)
        )
        return f"(SELECT {found} FROM json_each(:{parameter}))"  # noqa: S608 - our names
    found = ", ".join(
        f"{name} {'BIGINT' if is_integer else 'DOUBLE'} PATH '$[{i}]'"
        for i, (name, is_integer) in enumerate(columns)
    )
    return f"JSON_TABLE(:{parameter}, '$[*]' COLUMNS ({found}))"
