"""From an exception to what the engine makes of it."""

import errno
import traceback

from tianyu.pipelines.errors import PermanentError, TransientError
from tianyu.schema.dialects import is_transient
from tianyu.schema.errors import UnsafePathError
from tianyu.schema.states import ErrorKind
from tianyu.schema.transitions.finish import Failure

DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def failure_of(error: BaseException) -> Failure:
    """Classify what a step raised.

    What it raised on purpose needs no traceback: its text says what to do. For the
    unexpected the traceback is kept.
    """
    if isinstance(error, (PermanentError, UnsafePathError)):
        return Failure(ErrorKind.PERMANENT, f"{type(error).__name__}: {error}")
    if isinstance(error, (TransientError, ConnectionError, TimeoutError)) or is_transient(error):
        return Failure(ErrorKind.TRANSIENT, f"{type(error).__name__}: {error}")
    if is_disk_full(error):
        return Failure(ErrorKind.TRANSIENT, f"the disk is full: {error}; free some space")
    text = "".join(traceback.format_exception(error))
    return Failure(ErrorKind.UNEXPECTED, text)


def is_disk_full(error: BaseException) -> bool:
    """Tell whether a full disk or quota is the cause: waiting helps, failing does not."""
    return isinstance(error, OSError) and error.errno in DISK_FULL
