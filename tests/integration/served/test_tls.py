"""TLS to both servers through the settings, with an authority of our own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from tests.servers.binaries import find_binaries, give_up
from tests.servers.certificates import write_certificates
from tests.servers.rabbitmq import BrokerServer
from tests.servers.tls import TlsDatabaseServer
from tests.unit.cli_fixtures import invoke

from tianyu.broker.errors import BrokerUnreachableError
from tianyu.broker.interface import QueueAddress
from tianyu.broker.rabbitmq import RabbitBroker
from tianyu.schema.database import Database
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.settings import Settings, load_settings


def _server(*, offers: bool) -> Iterator[TlsDatabaseServer]:
    binaries = find_binaries()
    if not binaries.has_database:
        give_up("MariaDB or MySQL is not installed")
    server = TlsDatabaseServer(binaries, offers=offers)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def server() -> Iterator[TlsDatabaseServer]:
    yield from _server(offers=True)


@pytest.fixture(scope="module")
def plain_server() -> Iterator[TlsDatabaseServer]:
    yield from _server(offers=False)


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """The certificate of an authority that has vouched for nobody."""
    write_certificates(tmp_path)
    return tmp_path / "ca.pem"


def cipher(settings: Settings) -> str:
    database = Database(settings.database_address)
    try:
        with database.read() as connection:
            return str(connection.execute(text("SHOW STATUS LIKE 'Ssl_cipher'")).one()[1])
    finally:
        database.dispose()


def test_the_database_is_reached_through_tls(server: TlsDatabaseServer) -> None:
    with server.fresh_database() as url:
        settings = load_settings(database_url=url, tls_ca=server.folder / "ca.pem")
        assert cipher(settings)
        env = {"TIANYU_TLS_CA": str(server.folder / "ca.pem")}
        assert "schema 0" in invoke(url, "init", **env)
        assert "nothing has been published yet" in invoke(url, "status", **env)


def test_a_database_that_nobody_vouches_for_is_refused(
    server: TlsDatabaseServer, stranger: Path
) -> None:
    with server.fresh_database() as url:
        with pytest.raises(OperationalError, match="CERTIFICATE_VERIFY_FAILED"):
            cipher(load_settings(database_url=url, tls_ca=stranger))
        said = invoke(url, "status", code=2, TIANYU_TLS_CA=str(stranger))
        assert "CERTIFICATE_VERIFY_FAILED" in said


def test_a_database_under_another_name_is_refused(server: TlsDatabaseServer) -> None:
    with server.fresh_database() as url:
        settings = load_settings(
            database_url=url.replace("127.0.0.1", "localhost"), tls_ca=server.folder / "ca.pem"
        )
        with pytest.raises(OperationalError, match="Hostname mismatch"):
            cipher(settings)


def test_a_database_without_tls_is_not_worked_with_in_plain_text(
    plain_server: TlsDatabaseServer,
) -> None:
    with plain_server.fresh_database() as url:
        settings = load_settings(database_url=url, tls_ca=plain_server.folder / "ca.pem")
        with pytest.raises((OperationalError, ConfigurationError), match=r"(?i)ssl|tls"):
            cipher(settings)


def depth(settings: Settings) -> int:
    broker = RabbitBroker(settings.broker_address)
    try:
        return broker.depth(QueueAddress(1, "nowhere", "cpu"))
    finally:
        broker.close()


@pytest.fixture
def tls_broker_url(breakable_broker_server: BrokerServer) -> str:
    return breakable_broker_server.tls_url.partition("?")[0]


def test_the_broker_is_reached_through_tls(
    tls_broker_url: str, breakable_broker_server: BrokerServer
) -> None:
    ca = breakable_broker_server.folder / "ca.pem"
    assert depth(load_settings(broker_url=tls_broker_url, tls_ca=ca)) == 0


def test_a_broker_that_nobody_vouches_for_is_refused(
    tls_broker_url: str, stranger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BrokerUnreachableError):
        depth(load_settings(broker_url=tls_broker_url, tls_ca=stranger))
    assert "certificate verify failed" in caplog.text


def test_a_plain_broker_is_refused_where_an_authority_is_named(stranger: Path) -> None:
    settings = load_settings(broker_url="amqp://u:s3cret@mq/v", tls_ca=stranger)
    with pytest.raises(ConfigurationError, match="write amqps://") as caught:
        _ = settings.broker_address
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"tls_ca": "/no/such/file"}, "tls_ca names /no/such/file, which is no file"),
        ({"tls_certificate": "{ca}"}, "need each other"),
        ({"tls_certificate": "{ca}", "tls_key": "{ca}"}, "of no use without tls_ca"),
    ],
)
def test_files_that_are_of_no_use_are_named(
    files: dict[str, str], complaint: str, stranger: Path
) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        load_settings(**{name: value.format(ca=stranger) for name, value in files.items()})
