"""Fixtures of the brokers' conformance suite."""

from collections.abc import Iterator

import pytest
from tests.integration.broker.harness import Harness, MemoryHarness, RabbitHarness
from tests.servers.rabbitmq import BrokerServer


@pytest.fixture(params=["memory", "rabbitmq"])
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    """One broker after the other."""
    if request.param == "memory":
        made: Harness = MemoryHarness()
        yield made
        made.clean_up()
        return
    server = request.getfixturevalue("broker_server")
    server.make_healthy()
    made = RabbitHarness(server)
    yield made
    server.make_healthy()
    made.clean_up()


@pytest.fixture
def rabbit(breakable_broker_server: BrokerServer) -> Iterator[RabbitHarness]:
    """A RabbitMQ of our own, for what only a real server does."""
    made = RabbitHarness(breakable_broker_server)
    yield made
    breakable_broker_server.make_healthy()
    made.clean_up()
