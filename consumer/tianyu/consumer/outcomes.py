"""From an exception to what the engine makes of it."""

import errno
import re
import traceback

from sqlalchemy.exc import OperationalError

from tianyu.consumer.messages import Excuse
from tianyu.consumer.outages import is_outage
from tianyu.pipelines.errors import PermanentError, TransientError, UnreachableError
from tianyu.schema.database import Database
from tianyu.schema.dialects import is_transient
from tianyu.schema.errors import UnsafePathError
from tianyu.schema.states import ErrorKind
from tianyu.schema.transitions.finish import Failure

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

_DATABASE_FULL = re.compile(r"\bdisk (is )?full\b|\btable '.*' is full", re.IGNORECASE)
# What SQLite, MySQL and MariaDB say when there is no room for another row.


def failure_of(error: BaseException) -> Failure:
    """Classify what a step raised.

    What it raised on purpose needs no traceback: its text says what to do. For the
    unexpected the traceback is kept.
    """
    named = f"{type(error).__name__}: {error}"
    if isinstance(error, (PermanentError, UnsafePathError)):
        return Failure(ErrorKind.PERMANENT, named)
    if is_disk_full(error):
        return Failure(ErrorKind.TRANSIENT, f"the disk is full: {error}; free some space")
    if isinstance(error, (TransientError, ConnectionError, TimeoutError)) or is_transient(error):
        return Failure(ErrorKind.TRANSIENT, named)
    return Failure(ErrorKind.UNEXPECTED, "".join(traceback.format_exception(error)))


def excuse_of(error: BaseException, database: Database) -> Excuse | None:
    """Return why the step is not to blame; None if it is, or may be."""
    if is_disk_full(error):
        return Excuse.DISK_FULL
    if isinstance(error, UnreachableError):
        return Excuse.PEER_AWAY
    return Excuse.DATABASE_AWAY if is_outage(error, database) else None


def is_disk_full(error: BaseException) -> bool:
    """Tell whether a full disk or quota is the cause: waiting helps, failing does not."""
    if isinstance(error, OperationalError):
        return bool(_DATABASE_FULL.search(str(error.orig)))
    return isinstance(error, OSError) and error.errno in DISK_FULL
