"""Errors of the broker side, drawn as a tree.

::

    TianyuError
     ├─ MessageError            a message is not one of ours; it goes to the dead letters
     └─ BrokerUnreachableError  the broker cannot be asked now; also a ConnectionError
"""

from tianyu.schema.errors import TianyuError


class MessageError(TianyuError, ValueError):
    """A message cannot be read; reading it again would not help."""


class BrokerUnreachableError(TianyuError, ConnectionError):
    """The broker did not answer; it is asked again later."""
