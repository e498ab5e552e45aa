"""From a URL to a broker."""

from tianyu.broker.embedded import EmbeddedBroker
from tianyu.broker.interface import Broker
from tianyu.schema.database import Database
from tianyu.schema.errors import ConfigurationError


def connect(url: str, database: Database) -> Broker:
    """Open the broker that a URL names.

    Raises
    ------
    ConfigurationError
        If no broker answers to this kind of URL.
    """
    scheme = url.split(":", 1)[0]
    if scheme == "embedded":
        return EmbeddedBroker(database)
    raise ConfigurationError(
        f"{scheme!r} is not a known kind of broker; set broker_url to 'embedded:'"
    )
