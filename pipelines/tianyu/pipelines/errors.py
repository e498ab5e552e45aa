"""What a step may raise, and what the engine makes of it.

::

    StepError
     ├─ PermanentError            never retried: the answer would be the same
     │   ├─ InvalidParametersError  the parameters do not validate
     │   ├─ MissingInputError       a row or file that the step needs does not exist
     │   └─ UnusableDataError       the data are there, but nothing can be computed from them
     └─ TransientError            retried: the world may have changed by then
         └─ UnreachableError        another machine is away: retried at no cost to a budget

Every other exception is *unexpected*: it is retried within the failure budget and its
traceback is kept.
"""


class StepError(Exception):
    """Base of everything that a step raises on purpose."""


class PermanentError(StepError):
    """Repeating the step cannot help; the process fails at once."""


class InvalidParametersError(PermanentError):
    """The parameters of a process do not validate against its step."""


class MissingInputError(PermanentError):
    """A row or file that the step needs does not exist."""


class UnusableDataError(PermanentError, ValueError):
    """The data exist, but nothing can be computed from them."""


class TransientError(StepError):
    """Something outside the step failed; the same call may succeed later."""


class UnreachableError(TransientError):
    """Another machine does not answer; however long that takes is no fault of the step."""
