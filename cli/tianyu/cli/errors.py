"""What an error looks like to the person at the terminal, and to a script.

Exit codes: 0 done; 1 the work was done and some of it failed; 2 nothing could be done.
"""

import sys

from tianyu.pipelines.errors import StepError
from tianyu.schema.errors import TianyuError

FAILED_WORK = 1
UNUSABLE = 2


class WorkFailedError(TianyuError):
    """Processes failed: the command did its part, and part of the night is missing."""


FORESEEN = (TianyuError, StepError)
"""Errors whose text tells a person what to do; any other is a fault of the program."""


def exit_code(error: BaseException) -> int:
    """Return what the program exits with after an error."""
    return FAILED_WORK if isinstance(error, WorkFailedError) else UNUSABLE


def report(error: BaseException) -> None:
    """Write one line (more when the text has more) to standard error."""
    sys.stderr.write(f"error: {error}\n")
