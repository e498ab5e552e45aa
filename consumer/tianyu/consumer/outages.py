"""Telling a database that is away from a statement that is wrong, and waiting for it."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from tianyu.schema.database import Database

T = TypeVar("T")

logger = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
TRIES = 5
"""Failures of one transaction against a database that answers: then it is the transaction."""


def is_outage(error: BaseException, database: Database) -> bool:
    """Tell whether a database error only means that the database cannot be reached now.

    Drivers put lost connections, refused ones and wrong statements in one class; so the
    database is asked something trivial, and what it does not answer either is an outage.
    """
    if not isinstance(error, (OperationalError, InterfaceError)):
        return False
    return error.connection_invalidated or not answers(database)


def answers(database: Database) -> bool:
    """Tell whether the database answers at all."""
    try:
        with database.read() as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError:
        return False
    return True


def persist(database: Database, work: Callable[[Connection], T]) -> T:
    """Run ``work`` in a writing transaction, however long the database is away.

    For the end of an attempt: hours of computing must not be lost to a restart of the
    database. Whether the claim is still ours afterwards is decided by the fence in ``work``.

    Raises
    ------
    sqlalchemy.exc.DBAPIError
        If it fails although the database answers.
    """
    refusals = 0
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return database.retry(work)
        except DBAPIError as error:
            if not is_outage(error, database):
                refusals += 1
                if refusals == TRIES or not isinstance(error, (OperationalError, InterfaceError)):
                    raise
            logger.warning(
                "the database is away, trying again: %s", error, extra={"action": "wait"}
            )
        time.sleep(pause_s)
        pause_s = min(2.0 * pause_s, LONGEST_PAUSE_S)
