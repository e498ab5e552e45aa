"""The folder that ``tianyu reduce --out`` fills: where its database is, and its site."""

from pathlib import Path

from tianyu.schema.database import sqlite_url
from tianyu.schema.errors import ConfigurationError, NotFoundError

SITE = "local"
"""Name of the one site of such a folder."""
DATABASE_FILE = "tianyu.sqlite"


def database_in(out: Path | None, database: str | None) -> str | None:
    """Return the URL of the database of a folder, or the one that was given.

    Raises
    ------
    ConfigurationError
        If both are given.
    NotFoundError
        If there is none in the folder.
    """
    if out is None:
        return database
    if database is not None:
        raise ConfigurationError("--out names a folder with its database: leave out --database")
    if not (out / DATABASE_FILE).is_file():
        raise NotFoundError(
            f"there is no {DATABASE_FILE} in {out}; give the folder that `tianyu reduce` has filled"
        )
    return sqlite_url(out / DATABASE_FILE)
