"""The embedded broker, as far as the suite of the others has a meaning for it."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tianyu.broker.connect import connect
from tianyu.broker.embedded import EmbeddedBroker
from tianyu.broker.interface import Broker, QueueAddress
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.migrate import upgrade

QUEUE = QueueAddress(1, "here", "cpu")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    database = Database(sqlite_url(tmp_path / "broker.sqlite"))
    upgrade(database)
    yield EmbeddedBroker(database)
    database.dispose()


def test_it_carries_no_messages_and_confirms_all(broker: Broker) -> None:
    broker.subscribe([QUEUE], prefetch=2)

    assert not broker.carries_messages
    assert not broker.is_blocked
    assert list(broker.publish(QUEUE, [1, 2])) == [1, 2]
    assert broker.receive(0.0) is None


def test_depth_is_what_is_ready_in_the_table(broker: Broker) -> None:
    assert broker.depth(QUEUE) == 0


@pytest.mark.parametrize("way", ["publish", "wake"])
def test_those_who_wait_are_woken(broker: Broker, way: str) -> None:
    call = broker.wake if way == "wake" else lambda: broker.publish(QUEUE, [1])
    timer = threading.Timer(0.1, call)
    timer.start()
    start = time.monotonic()

    assert broker.wait(20.0)

    assert time.monotonic() - start < 10.0
    timer.join()
    assert not broker.wait(0.0)


def test_closing_twice_is_harmless(broker: Broker) -> None:
    broker.close()
    broker.close()


def test_a_url_opens_it(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "broker.sqlite"))
    assert isinstance(connect("embedded:", database), EmbeddedBroker)
    database.dispose()
