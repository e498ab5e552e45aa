"""Transactions of two publishers that insert the same thing at the same time."""

import logging
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from tianyu.schema.database import Database

logger = logging.getLogger(__name__)

T = TypeVar("T")

TRIES = 3
"""The second try finds what the other publisher committed; a third allows for bad luck."""


def retry_collisions(database: Database, work: Callable[[Connection], T]) -> T:
    """Run ``work`` in a writing transaction; run it again when a unique key is taken meanwhile.

    Parameters
    ----------
    database : Database
    work : callable
        Looks before it inserts, and draws new ids each time, so that it may be repeated.

    Raises
    ------
    sqlalchemy.exc.IntegrityError
        If it collides every time: then it is no coincidence.
    """
    for _ in range(TRIES - 1):
        try:
            return database.retry(work)
        except IntegrityError as error:
            logger.info(
                "trying again after a collision: %s", error.orig, extra={"action": "collision"}
            )
    return database.retry(work)
