"""Opening the database that a command is about; none is ever made by looking at it."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from tianyu.schema import dialects, migrate
from tianyu.schema.database import Database
from tianyu.schema.errors import ConfigurationError, NotFoundError
from tianyu.schema.settings import load_settings

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0


@contextmanager
def open_database(url: str | None, *, patiently: bool = False) -> Iterator[Database]:
    """Open an existing database with up-to-date tables.

    Parameters
    ----------
    url : str or None
        From ``--database``; the setting ``database_url`` when None.
    patiently : bool
        For services, which start with the machine and maybe before the server: wait for one
        that cannot be reached. One that refuses the user, say, is an error all the same.

    Raises
    ------
    NotFoundError
        If there is no such database.
    ConfigurationError
        If it cannot be reached, or refuses to work.
    SchemaVersionError
        If its tables do not fit the code.
    """
    database = Database(load_settings(database_url=url).database_address)
    _refuse_missing(database)
    try:
        with explaining(database, opening=True):
            _wait_for(database) if patiently else migrate.check(database)
        with explaining(database):
            yield database
    finally:
        database.dispose()


def _wait_for(database: Database) -> None:
    """Check the tables as soon as the server can be reached."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return migrate.check(database)
        except DBAPIError as error:
            if not dialects.is_unreachable(error):
                raise
            said = _away(database, error)
        logger.warning("%s; trying again in %g s", said, pause_s, extra={"action": "wait"})
        time.sleep(pause_s)
        pause_s = min(2.0 * pause_s, LONGEST_PAUSE_S)


@contextmanager
def explaining(database: Database, *, opening: bool = False) -> Iterator[None]:
    """Say in one line why a database does not answer.

    Parameters
    ----------
    database : Database
    opening : bool
        Whether no query of ours has run yet: then whatever goes wrong is the database's doing.

    Raises
    ------
    ConfigurationError
        If it cannot be reached, or refuses to work.
    """
    try:
        yield
    except DBAPIError as error:
        if not opening and not isinstance(error, (OperationalError, InterfaceError)):
            raise
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
    if database.is_embedded:
        return (
            f"the database {database} cannot be used: {reason}; check that it is the file you "
            "mean, that its folder can be written, and that the disk has room"
        )
    return (
        f"the database {database} does not answer: {reason}; check that the server runs, the "
        "URL is right and the user may use it"
    )
