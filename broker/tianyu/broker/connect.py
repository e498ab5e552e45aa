"""From a URL to a broker."""

from tianyu.broker.embedded import EmbeddedBroker
from tianyu.broker.interface import Broker
from tianyu.schema.database import Database
from tianyu.schema.errors import ConfigurationError


def connect(url: str, database: Database) -> Broker:
    """Open the broker that a URL names.

    Parameters
    ----------
    url : str
        ``embedded:``, or ``amqp://user:password@host:port/vhost``; ``amqps://`` for TLS.
    database : Database
        Read by the embedded broker, which keeps its queues there.

    Raises
    ------
    ConfigurationError
        If no broker answers to this kind of URL, or the URL is malformed.
    """
    scheme = url.split(":", 1)[0].lower()
    if scheme == "embedded":
        return EmbeddedBroker(database)
    if scheme in {"amqp", "amqps"}:
        # Who works without RabbitMQ need not pay for loading its client.
        from tianyu.broker.rabbitmq import RabbitBroker  # noqa: PLC0415 - see above

        return RabbitBroker(url)
    raise ConfigurationError(
        f"{scheme!r} is not a known kind of broker; "
        "set broker_url to 'embedded:' or 'amqp://user:password@host/vhost'"
    )
