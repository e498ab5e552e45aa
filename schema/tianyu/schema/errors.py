"""Errors of the database side, drawn as a tree.

::

    TianyuError
     ├─ ConfigurationError      a setting is missing or impossible
     ├─ SchemaVersionError      the database is older or newer than the code
     ├─ UnsafePathError         a path would leave its site's root or break on another system
     ├─ NotFoundError           the row that was asked for does not exist
     ├─ GraphError              a graph cannot be published as it is
     └─ LostClaimError          another worker owns the process by now; roll back and drop it
"""


class TianyuError(Exception):
    """Base of everything raised on purpose outside the steps."""


class ConfigurationError(TianyuError):
    """A setting is missing or impossible."""


class SchemaVersionError(TianyuError):
    """The database was made by an older or newer version of the code."""


class UnsafePathError(TianyuError):
    """A path would leave its site's root, or is not valid on every platform."""


class NotFoundError(TianyuError):
    """The row that was asked for does not exist."""


class GraphError(TianyuError):
    """A graph of processes cannot be published as it is."""


class LostClaimError(TianyuError):
    """The claim on a process is no longer ours; nothing of the attempt may be committed."""
