"""Steps that take longer than RabbitMQ waits for an acknowledgement; takes over a minute.

``consumer_timeout`` is looked at once a minute, and closes only the channel: nothing is raised,
and the connection stays.
"""

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from tests.integration.consumer.yard import SITE, Yard, beside, until, work
from tests.servers.binaries import find_binaries, give_up
from tests.servers.rabbitmq import BrokerProcess

from tianyu.broker.rabbitmq import RabbitBroker
from tianyu.consumer.consumer import Consumer, ConsumerConfig
from tianyu.manager.manager import Manager, ManagerConfig
from tianyu.schema.directory import ensure_queue, find_site

TIMEOUT_S = 5
LONG_S = 75.0
"""Longer than the timeout, and than the minute between two looks at it."""

pytestmark = [pytest.mark.storm, pytest.mark.timeout(200)]


@pytest.fixture
def impatient() -> Iterator[BrokerProcess]:
    """A RabbitMQ that waits five seconds for an acknowledgement."""
    binaries = find_binaries()
    if not binaries.has_broker:
        give_up("RabbitMQ is not installed")
    server = BrokerProcess(binaries)
    try:
        with (server.folder / "rabbitmq.conf").open("a") as file:
            file.write(f"consumer_timeout = {1000 * TIMEOUT_S}\n")
        server.start()
        yield server
    finally:
        server.remove()


def test_long_work_is_done_once_whatever_becomes_of_its_channel(
    yard: Yard, impatient: BrokerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    with yard.database.write() as connection:
        other_queue = ensure_queue(connection, find_site(connection, SITE)[0], "gpu")
    other = dataclasses.replace(yard, queue_id=other_queue)
    pids = yard.publish(long=work("sleep", seconds=LONG_S), next=work("noop"), last=work("noop"))
    others = other.publish(long=work("sleep", seconds=LONG_S), next=work("noop"), last=work("noop"))
    everything = [*pids.values(), *others.values()]
    caplog.set_level(logging.INFO, "tianyu.broker")
    with ExitStack() as stack:
        start_manager(stack, yard, impatient.url)
        # One gives back what it has no child for; the other sits on it, until the broker
        # closes its channel.
        for group, hold_s in (("cpu", 5.0), ("gpu", 1000.0)):
            start_consumer(stack, yard, RabbitBroker(impatient.url, hold_s=hold_s), group)
        until(lambda: all(yard.outcomes(pid) for pid in everything), patience_s=LONG_S + 60.0)
    closed = [r.getMessage() for r in caplog.records if "closed a channel" in r.getMessage()]
    assert len(closed) >= 1
    assert "timeout" in closed[0].lower()
    assert [yard.outcomes(pid) for pid in everything] == [["succeeded"]] * 6
    assert sorted(yard.products()) == sorted((pid, 1) for pid in everything)


def start_manager(stack: ExitStack, yard: Yard, url: str) -> None:
    broker = RabbitBroker(url)
    stack.callback(broker.close)
    manager = Manager(yard.database, broker, ManagerConfig(poll_s=0.1))
    stack.enter_context(beside(manager.run, manager.stop))


def start_consumer(stack: ExitStack, yard: Yard, broker: RabbitBroker, group: str) -> None:
    stack.callback(broker.close)
    consumer = Consumer(yard.database, broker, ConsumerConfig(SITE, (group,), poll_s=0.1))
    stack.enter_context(beside(consumer.run, consumer.drain))
