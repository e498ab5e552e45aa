"""From a URL to the parameters of a connection to RabbitMQ."""

from urllib.parse import parse_qs, urlsplit

import pika

from tianyu.schema.errors import ConfigurationError

HEARTBEAT_S = 15
"""A silent peer is noticed after 40 s: the client grants two heartbeats and 5 s for each.
Narrow links to sites need patience, and nothing depends on a quick answer: leases decide."""

BLOCKED_TIMEOUT_S = 300.0
"""A broker that blocks publishing for so long is better asked anew."""

CONNECT_TIMEOUT_S = 10.0


def parameters_of(url: str, purpose: str) -> pika.URLParameters:
    """Return connection parameters for a URL, with our defaults where it is silent.

    Parameters
    ----------
    url : str
        ``amqp[s]://user:password@host:port/vhost?heartbeat=…&blocked_connection_timeout=…``;
        with ``amqps``, ``ssl_options={'ca_certs':'…','certfile':'…','keyfile':'…'}`` names
        files other than the system's.
    purpose : str
        Shown in the broker's list of connections.

    Raises
    ------
    ConfigurationError
        If the URL is malformed; the text does not repeat it, because of the password.
    """
    try:
        parameters = pika.URLParameters(url)
        given = parse_qs(urlsplit(url).query)
    except (ValueError, SyntaxError, TypeError, OSError) as error:
        raise ConfigurationError(
            f"broker_url cannot be used: {error}; expected amqp://user:password@host:port/vhost"
        ) from error
    defaults = {
        "heartbeat": HEARTBEAT_S,
        "blocked_connection_timeout": BLOCKED_TIMEOUT_S,
        "socket_timeout": CONNECT_TIMEOUT_S,
        "stack_timeout": CONNECT_TIMEOUT_S,
        "client_properties": {"connection_name": f"tianyu {purpose}"},
    }
    for name, value in defaults.items():
        if name not in given:
            setattr(parameters, name, value)
    return parameters
