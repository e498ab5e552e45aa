"""Fixtures: real servers for tests.

Each pytest worker starts a pair of its own at first need, and keeps it to its end: a test
may then kill its server without disturbing a test of another worker, and no lock is needed.
"""

import os
from collections.abc import Iterator

import pytest
from tests.servers.binaries import INSTALL_COMMAND, MISSING, find_binaries, give_up, not_ours
from tests.servers.mariadb import DatabaseServer, ExternalDatabaseServer
from tests.servers.rabbitmq import BrokerServer, ExternalBrokerServer

DATABASE_VARIABLE = "TIANYU_TEST_DATABASE_URL"
BROKER_VARIABLE = "TIANYU_TEST_BROKER_URL"


@pytest.fixture(scope="session")
def database_server() -> Iterator[DatabaseServer | ExternalDatabaseServer]:
    """MariaDB or MySQL: a throw-away one, or the one that a variable names."""
    if url := os.environ.get(DATABASE_VARIABLE):
        yield ExternalDatabaseServer(url)
        return
    binaries = find_binaries()
    if not binaries.has_database:
        give_up("MariaDB or MySQL")
    server = DatabaseServer(binaries)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def broker_server() -> Iterator[BrokerServer | ExternalBrokerServer]:
    """RabbitMQ: a throw-away one, or the one that a variable names."""
    if url := os.environ.get(BROKER_VARIABLE):
        yield ExternalBrokerServer(url)
        return
    binaries = find_binaries()
    if not binaries.has_broker:
        give_up("RabbitMQ")
    server = BrokerServer(binaries)
    try:
        server.start()
        yield server
    finally:
        server.remove()


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
