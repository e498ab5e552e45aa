"""Fixtures: real servers for tests.

Each pytest worker starts a pair of its own at first need, and keeps it to its end: a test
may then kill its server without disturbing a test of another worker, and no lock is needed.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

import pytest
from tests.servers.binaries import INSTALL_COMMAND, MISSING, find_binaries, give_up, not_ours
from tests.servers.choice import Choice, Origin, choose_broker, choose_database
from tests.servers.mariadb import DatabaseProcess, DatabaseServer, ExternalDatabaseServer
from tests.servers.rabbitmq import BrokerProcess, BrokerServer, ExternalBrokerServer
from tests.servers.server import Server

if TYPE_CHECKING:
    from docker import DockerClient

OneServer = TypeVar("OneServer", bound=Server)


def pytest_report_header() -> str:
    """Say which servers the tests use."""
    return f"servers: database {choose_database()}, broker {choose_broker()}"


@pytest.fixture(scope="session")
def database_server(
    request: pytest.FixtureRequest,
) -> Iterator[DatabaseServer | ExternalDatabaseServer]:
    """MariaDB or MySQL: a throw-away one, or the one that a variable names."""
    choice = choose_database()
    match choice.origin:
        case Origin.URL:
            yield ExternalDatabaseServer(os.environ[choice.what])
        case Origin.BINARY:
            yield from _kept(DatabaseProcess(find_binaries()))
        case Origin.IMAGE:
            from tests.servers.containers import DatabaseContainer

            yield from _kept(DatabaseContainer(_engine_with(choice, request), choice.what))
        case Origin.NONE:
            give_up("MariaDB or MySQL is not installed")


@pytest.fixture(scope="session")
def broker_server(
    request: pytest.FixtureRequest,
) -> Iterator[BrokerServer | ExternalBrokerServer]:
    """RabbitMQ: a throw-away one, or the one that a variable names."""
    choice = choose_broker()
    match choice.origin:
        case Origin.URL:
            yield ExternalBrokerServer(os.environ[choice.what])
        case Origin.BINARY:
            yield from _kept(BrokerProcess(find_binaries()))
        case Origin.IMAGE:
            from tests.servers.containers import BrokerContainer

            yield from _kept(BrokerContainer(_engine_with(choice, request), choice.what))
        case Origin.NONE:
            give_up("RabbitMQ is not installed")


def _kept(server: OneServer) -> Iterator[OneServer]:
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def docker_engine() -> Iterator["DockerClient"]:
    """Connect to the Docker engine, freed of what killed tests have left."""
    from tests.servers.container import remove_strays
    from tests.servers.engine import connect_engine

    engine = connect_engine()
    if engine is None:
        give_up("no Docker engine of this machine answers")
    remove_strays(engine)
    yield engine
    engine.close()


def _engine_with(choice: Choice, request: pytest.FixtureRequest) -> "DockerClient":
    """Return the engine once it has an image."""
    from docker.errors import APIError
    from tests.servers.container import ensure_image

    engine: DockerClient = request.getfixturevalue("docker_engine")
    try:
        ensure_image(engine, choice.what)
    except APIError as error:
        give_up(f"the image {choice.what} cannot be pulled ({error.explanation})")
    return engine


@pytest.fixture
def database_url(database_server: DatabaseServer | ExternalDatabaseServer) -> Iterator[str]:
    """URL of an empty database of this test's own."""
    database_server.make_healthy()
    with database_server.fresh_database() as url:
        yield url


@pytest.fixture
def broker_url(broker_server: BrokerServer | ExternalBrokerServer) -> str:
    """URL of a vhost of this test's own."""
    broker_server.make_healthy()
    return broker_server.fresh_vhost()


@pytest.fixture
def breakable_database_server(
    database_server: DatabaseServer | ExternalDatabaseServer,
) -> Iterator[DatabaseServer]:
    """A database server that the test may stop, kill and pause."""
    if isinstance(database_server, ExternalDatabaseServer):
        not_ours("the database")
    yield database_server
    database_server.make_healthy()


@pytest.fixture
def breakable_broker_server(
    broker_server: BrokerServer | ExternalBrokerServer,
) -> Iterator[BrokerServer]:
    """A broker that the test may stop, kill and pause."""
    if isinstance(broker_server, ExternalBrokerServer):
        not_ours("the broker")
    yield broker_server
    broker_server.make_healthy()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """End with what was left out for want of servers, and the one command that enables it."""
    # After everything else, so that it is the last thing to be read.
    yield
    skipped = [
        report
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and MISSING in report.longrepr[2]
    ]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} tests of the servers were skipped; enable them by:\n"
            f"    {INSTALL_COMMAND}",
            yellow=True,
        )
