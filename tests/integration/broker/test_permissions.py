"""The account of ``deploy/grants/rabbitmq.sh`` does the engine's work, and touches nothing else."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker
from tests.integration.broker.waiting import until, work_off
from tests.servers.binaries import not_ours
from tests.servers.rabbitmq import BrokerServer, ExternalBrokerServer

from tianyu.broker.deadletters import reading
from tianyu.broker.interface import QueueAddress
from tianyu.broker.rabbitmq import RabbitBroker

SCRIPT = Path(__file__).resolve().parents[3] / "deploy" / "grants" / "rabbitmq.sh"
NAME, PASSWORD = "limited", "of-the-tests"


@pytest.fixture(scope="module")
def limited_url(broker_server: BrokerServer | ExternalBrokerServer) -> Iterator[str]:
    """URL of a vhost, with the account that the script makes."""
    if isinstance(broker_server, ExternalBrokerServer):
        not_ours("the broker")
    server = broker_server
    server.make_healthy()
    url = server.fresh_vhost()
    values = {"$NAME": NAME, "$PASSWORD": PASSWORD, "$VHOST": url.rpartition("/")[2]}
    commands = SCRIPT.read_text().replace("\\\n", " ").splitlines()
    calls = [shlex.split(line) for line in commands if line.startswith("rabbitmqctl")]
    assert [call[1] for call in calls] == ["add_user", "set_permissions"]
    for call in calls:
        server.control(*(values.get(word, word) for word in call[1:]))
    yield url.replace("guest:guest", f"{NAME}:{PASSWORD}")
    server.control("delete_user", NAME)


def test_it_sends_receives_wakes_and_looks(limited_url: str) -> None:
    queue, broker = QueueAddress(1, "hill top", "cpu"), RabbitBroker(limited_url)
    try:
        assert list(broker.publish(queue, [7])) == [7]
        broker.subscribe([queue])
        assert work_off(broker, 1) == [7]
        until(lambda: broker.wait(0.2) or broker.wake(), "it is woken")
        with pika.BlockingConnection(pika.URLParameters(limited_url)) as connection:
            connection.channel().basic_publish("", queue.name, b"junk")
        until(lambda: broker.n_dead(queue) == 1, "junk is a dead letter")
        with reading(limited_url, [queue], remove=True) as letters:
            assert [letter.body for letter in letters] == [b"junk"]
        assert broker.trouble() is None
    finally:
        broker.close()


def test_it_touches_no_queue_of_others(limited_url: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(limited_url)) as connection:
        for name in ("payroll", "not.tianyu.cpu", "dead:payroll"):
            with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
                connection.channel().queue_declare(name)
