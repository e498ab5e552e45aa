"""Opening the database that a command is about; none is ever made by looking at it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from tianyu.schema import migrate
from tianyu.schema.database import Database
from tianyu.schema.errors import ConfigurationError, NotFoundError
from tianyu.schema.settings import load_settings


@contextmanager
def open_database(url: str | None) -> Iterator[Database]:
    """Open an existing database with up-to-date tables.

    Parameters
    ----------
    url : str or None
        From ``--database``; the setting ``database_url`` when None.

    Raises
    ------
    NotFoundError
        If there is no such database.
    ConfigurationError
        If it cannot be reached, or refuses to work.
    SchemaVersionError
        If its tables do not fit the code.
    """
    database = Database(load_settings(database_url=url).database_url.get_secret_value())
    _refuse_missing(database)
    try:
        _check(database)
        with explaining(database):
            yield database
    finally:
        database.dispose()


@contextmanager
def explaining(database: Database) -> Iterator[None]:
    """Say in one line why a database does not answer.

    Raises
    ------
    ConfigurationError
        If it cannot be reached, or refuses to work.
    """
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise ConfigurationError(_away(database, error)) from error


def _check(database: Database) -> None:
    try:
        migrate.check(database)
    except DBAPIError as error:
        # Whatever goes wrong here is the database's doing: no query of ours has run yet.
        raise ConfigurationError(_away(database, error)) from error


def _refuse_missing(database: Database) -> None:
    # Opening a missing SQLite file would make an empty one.
    if database.is_embedded and not Path(database.url.database or "").is_file():
        raise NotFoundError(
            f"there is no database {database}; give --database URL or set TIANYU_DATABASE_URL "
            "(`tianyu reduce PATH… --out DIR` makes sqlite:///DIR/tianyu.sqlite)"
        )


def _away(database: Database, error: DBAPIError) -> str:
    reason = str(error.orig).splitlines()[0] if error.orig is not None else str(error)
    return (
        f"the database {database} does not answer: {reason}; check that the server runs, the "
        "URL is right and the user may use it"
    )
