"""From URLs to brokers and to connection parameters."""

from pathlib import Path

import pytest
from tests.servers.certificates import write_certificates

from tianyu.broker.connect import connect
from tianyu.broker.parameters import BLOCKED_TIMEOUT_S, HEARTBEAT_S, parameters_of
from tianyu.broker.rabbitmq import RabbitBroker
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.errors import ConfigurationError


def test_silent_urls_get_our_defaults() -> None:
    parameters = parameters_of("amqp://u:p@broker.example:5673/survey", "publisher")

    assert (parameters.host, parameters.port, parameters.virtual_host) == (
        "broker.example",
        5673,
        "survey",
    )
    assert parameters.heartbeat == HEARTBEAT_S
    assert parameters.blocked_connection_timeout == BLOCKED_TIMEOUT_S
    assert parameters.client_properties == {"connection_name": "tianyu publisher"}
    assert parameters.ssl_options is None


def test_what_a_url_says_is_kept() -> None:
    url = "amqp://u:p@h/v?heartbeat=7&blocked_connection_timeout=5&socket_timeout=1.5"
    parameters = parameters_of(url, "x")
    assert parameters.heartbeat == 7
    assert parameters.blocked_connection_timeout == 5.0
    assert parameters.socket_timeout == 1.5


def test_amqps_means_tls_with_the_authorities_of_the_system() -> None:
    parameters = parameters_of("amqps://u:p@h/v", "x")
    assert parameters.port == 5671
    assert parameters.ssl_options.context.check_hostname


def test_amqps_may_name_an_authority_of_its_own(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    options = {"ca_certs": f"{tmp_path}/ca.pem"}
    parameters = parameters_of(f"amqps://u:p@h/v?ssl_options={options}", "x")
    assert [c["serialNumber"] for c in parameters.ssl_options.context.get_ca_certs()]


@pytest.mark.parametrize(
    "rest", ["@h:port/v", "@h/v?heartbeat=often", "@h/v?color=red", "@h/v?ssl_options={"]
)
def test_a_malformed_url_is_told_without_its_password(rest: str) -> None:
    with pytest.raises(ConfigurationError, match="broker_url") as caught:
        RabbitBroker("amqp://u:s3cret" + rest)
    assert "s3cret" not in str(caught.value)


def test_a_url_without_a_password_is_malformed() -> None:
    with pytest.raises(ConfigurationError, match="user:password"):
        RabbitBroker("amqp://user@h/v")


def test_connecting_opens_nothing_before_it_is_needed() -> None:
    database = Database(sqlite_url(Path("unused.sqlite")))
    # A port that nobody listens on.
    broker = connect("amqp://u:p@127.0.0.1:1/v", database)
    assert isinstance(broker, RabbitBroker)
    assert not broker.is_blocked
    broker.close()
    database.dispose()


def test_other_schemes_are_refused_with_the_known_ones() -> None:
    database = Database(sqlite_url(Path("unused.sqlite")))
    with pytest.raises(ConfigurationError, match=r"'kafka' is not a known kind.*amqp"):
        connect("kafka://h", database)
    database.dispose()
