"""Dead letters on a real RabbitMQ: named with their reason, kept until they are removed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pika
import pytest
from tests.integration.broker.waiting import until
from tests.unit.cli_fixtures import invoke

from tianyu.broker.interface import QueueAddress
from tianyu.broker.messages import encode
from tianyu.broker.rabbitmq import RabbitBroker
from tianyu.broker.topology import DELIVERY_LIMIT
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_queue, find_site
from tianyu.schema.states import State
from tianyu.schema.transitions.publish import ProcessSpec, RunSpec, insert_graph, insert_run

PID = 1_795_225_881_011_499_657


@dataclass
class Office:
    """One queue, with a client that reads it."""

    url: str
    broker_url: str
    queue: QueueAddress
    broker: RabbitBroker

    def send(self, body: bytes) -> None:
        with pika.BlockingConnection(pika.URLParameters(self.broker_url)) as connection:
            connection.channel().basic_publish("", self.queue.name, body)

    def ask(self, *options: str) -> str:
        return invoke(self.url, "dead-letters", *options, TIANYU_BROKER_URL=self.broker_url)


@pytest.fixture
def office(tmp_path: Path, broker_url: str) -> Iterator[Office]:
    url = sqlite_url(tmp_path / "tianyu.sqlite")
    invoke(url, "init", "--root", str(tmp_path))
    database = Database(url)
    with database.write() as connection:
        queue_id = ensure_queue(connection, find_site(connection, "local")[0], "cpu")
        spec = RunSpec("r", "test", 1, {}, "1", [ProcessSpec(PID, "noop", {}, queue_id)])
        insert_graph(connection, insert_run(connection, spec), spec.processes)
    queue = QueueAddress(queue_id, "local", "cpu")
    broker = RabbitBroker(broker_url)
    # The first message declares the queue; before, whatever is sent there is lost.
    broker.publish(queue, [PID])
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().queue_purge(queue.name)
    assert broker.n_dead(queue) == 0
    yield Office(url, broker_url, queue, broker)
    broker.close()
    database.dispose()


def test_without_any_it_says_so(office: Office) -> None:
    assert office.ask() == "no dead letters\n"
    assert invoke(office.url, "dead-letters") == "no dead letters\n", "the embedded broker"


def test_each_is_listed_with_its_reason_and_kept_until_removed(office: Office) -> None:
    office.broker.subscribe([office.queue])
    office.send(b"\x1b[2J{not json")
    office.send(b'{"v":9,"process_id":"5"}')
    until(lambda: office.broker.n_dead(office.queue) == 2, "both are moved")
    said = office.ask()
    assert "2 dead letters" in said
    assert "tianyu.local.cpu, 20" in said
    assert "it cannot be read: " in said
    assert "has version 9; this code reads version 1 only" in said
    assert "\x1b" not in said, "a body must not steer the terminal"
    until(lambda: office.broker.n_dead(office.queue) == 2, "looking leaves them")
    assert "2 dead letters" in office.ask("--remove")
    until(lambda: office.ask() == "no dead letters\n", "they are gone")


def test_a_hint_that_came_back_too_often_names_its_process(office: Office) -> None:
    office.broker.publish(office.queue, [PID, PID + 1])
    with pika.BlockingConnection(pika.URLParameters(office.broker_url)) as connection:
        channel = connection.channel()
        for _ in range(4 * DELIVERY_LIMIT):
            method, _, _ = channel.basic_get(office.queue.name)
            if method is None:
                break
            channel.basic_nack(method.delivery_tag)
    until(lambda: office.broker.n_dead(office.queue) == 2, "they are dead letters")
    letters = answer_of(office)
    (known,) = [letter for letter in letters if letter["process"] == str(PID)]
    (unknown,) = [letter for letter in letters if letter["process"] == str(PID + 1)]
    assert known["body"] == encode(PID).decode()
    assert "came back too often" in known["why"]
    assert known["state"] == State.READY.value
    assert known["advice"] == "the process is ready by now and needs no message; --remove"
    assert "no such process is in this database" in unknown["advice"]


def answer_of(office: Office) -> list[dict[str, str]]:
    import json

    return list(json.loads(office.ask("--json"))["dead_letters"])


def test_a_broker_that_is_away_is_told_without_its_password(office: Office) -> None:
    said = invoke(
        office.url, "dead-letters", code=2, TIANYU_BROKER_URL="amqp://u:s3cret@127.0.0.1:1/v"
    )
    assert "the broker does not tell its dead letters" in said
    assert "s3cret" not in said
