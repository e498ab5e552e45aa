"""What only a real RabbitMQ does to its clients."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pika
import pytest
from tests.integration.broker.harness import RabbitHarness
from tests.integration.broker.waiting import take, until, work_off

from tianyu.broker import consuming
from tianyu.broker.errors import BrokerUnreachableError
from tianyu.broker.interface import QueueAddress
from tianyu.broker.rabbitmq import RabbitBroker
from tianyu.broker.topology import DELIVERY_LIMIT


def client(rabbit: RabbitHarness, url: str = "", **options: float) -> RabbitBroker:
    broker = RabbitBroker(url or rabbit.server.url, **options)
    rabbit.clients.append(broker)
    return broker


def test_a_message_is_persistent_and_nothing_but_the_hint(rabbit: RabbitHarness) -> None:
    queue = rabbit.address()
    client(rabbit).publish(queue, [42])

    with pika.BlockingConnection(pika.URLParameters(rabbit.server.url)) as connection:
        _, properties, body = connection.channel().basic_get(queue.name)

    assert body == b'{"v":1,"process_id":"42"}'
    assert properties.delivery_mode == 2
    # The header is the broker's own; since version 4 it comes with the second delivery only.
    assert set(properties.headers or {}) <= {"x-delivery-count"}


def test_a_consumer_killed_with_signal_9_gives_its_hint_back(rabbit: RabbitHarness) -> None:
    queue, broker = rabbit.address(), client(rabbit)
    broker.publish(queue, [7])
    command = [sys.executable, str(Path(__file__).with_name("receiver.py"))]
    with subprocess.Popen(
        [*command, rabbit.server.url, queue.site, queue.group], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"7\n"
        assert broker.depth(queue) == 0
        process.kill()

    broker.subscribe([queue])
    assert work_off(broker, 1) == [7]


def test_hints_that_nobody_has_a_child_for_go_to_others(rabbit: RabbitHarness) -> None:
    queue, busy, idle = rabbit.address(), client(rabbit, hold_s=0.2), client(rabbit)
    busy.subscribe([queue], prefetch=4)
    busy.publish(queue, [1, 2, 3, 4])
    take(busy, 1)
    until(lambda: busy.depth(queue) == 3, "it gives back what it does not ask for")

    idle.subscribe([queue])
    assert sorted(work_off(idle, 3)) == [2, 3, 4]

    # Asked again, it receives again.
    idle.close()
    busy.publish(queue, [5])
    assert work_off(busy, 1) == [5]


def test_a_channel_closed_by_the_broker_alone_is_opened_again(rabbit: RabbitHarness) -> None:
    """RabbitMQ's ``consumer_timeout`` in two seconds instead of half an hour."""
    server = rabbit._own()
    shorten = "[application:set_env(rabbit, K, V) || {K, V} <- [{consumer_timeout, T}, "
    shorten += "{channel_tick_interval, I}]]."
    server.control("eval", shorten.replace("T}", "500}").replace("I}", "300}"))
    queue, broker = rabbit.address(), client(rabbit)
    broker.subscribe([queue])
    broker.publish(queue, [1])
    (late,) = take(broker, 1)

    # The connection stays, the hint comes again through another channel.
    (again,) = take(broker, 1)
    server.control("eval", shorten.replace("T}", "1800000}").replace("I}", "60000}"))
    assert again.process_id == late.process_id == 1
    assert again.tag != late.tag

    # An acknowledgement that belongs to the old channel must not cost the new one.
    broker.acknowledge(late)
    broker.publish(queue, [2])
    until(lambda: 2 in work_off(broker, 1), "the new channel works")


def test_a_subscription_that_the_broker_forgot_is_made_again(
    rabbit: RabbitHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consuming, "WATCH_S", 0.1)
    queue, broker = rabbit.address(), client(rabbit, hold_s=0.2)
    broker.subscribe([queue])
    broker.publish(queue, [1])
    assert work_off(broker, 1) == [1]

    subscriber = broker._subscriber
    assert subscriber is not None
    (tag,) = subscriber._consumers
    subscriber._link.call(lambda channel: channel.basic_cancel(tag))

    broker.publish(queue, [2])
    assert work_off(broker, 1) == [2]


def test_a_message_that_circles_becomes_a_dead_letter(rabbit: RabbitHarness) -> None:
    queue = rabbit.address()
    client(rabbit).publish(queue, [9])

    with pika.BlockingConnection(pika.URLParameters(rabbit.server.url)) as connection:
        channel = connection.channel()
        deliveries = 0
        while deliveries <= 2 * DELIVERY_LIMIT:
            method, _, _ = channel.basic_get(queue.name)
            if method is None:
                break
            deliveries += 1
            channel.basic_nack(method.delivery_tag)
            time.sleep(0.001)

    assert deliveries == pytest.approx(DELIVERY_LIMIT, abs=2)
    assert rabbit.dead(queue) == [b'{"v":1,"process_id":"9"}']


@pytest.mark.storm
def test_a_frozen_server_is_noticed_and_welcome_again(rabbit: RabbitHarness) -> None:
    server = rabbit._own()
    url = f"{server.url}?heartbeat=1&stack_timeout=1"
    queue, broker = rabbit.address(), client(rabbit, url, publish_timeout_s=0.5)
    broker.subscribe([queue])
    assert list(broker.publish(queue, [1])) == [1]
    assert work_off(broker, 1) == [1]

    server.pause()
    start = time.monotonic()
    assert list(broker.publish(queue, [2])) == []
    assert time.monotonic() - start < 3.0
    subscriber = broker._subscriber
    assert subscriber is not None
    until(lambda: not subscriber.is_open, "the heartbeat is missed")
    server.resume()

    until(lambda: 3 in broker.publish(queue, [3]), "publishing works again")
    until(lambda: work_off(broker, 1) == [3], "consuming works again")


def test_two_threads_may_publish_at_once(rabbit: RabbitHarness) -> None:
    broker = client(rabbit)
    queues = [rabbit.address("a"), rabbit.address("b")]
    ids = range(1, 301)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda queue: broker.publish(queue, ids), queues))
    assert [sorted(answer) for answer in answers] == [list(ids)] * 2


def test_many_messages_are_confirmed_together(rabbit: RabbitHarness) -> None:
    queue, broker = rabbit.address(), client(rabbit)
    broker.publish(queue, [1])

    start = time.monotonic()
    assert len(broker.publish(queue, range(2, 1002))) == 1000
    together_s = time.monotonic() - start
    start = time.monotonic()
    for process_id in range(2001, 2051):
        broker.publish(queue, [process_id])
    one_by_one_s = time.monotonic() - start

    assert together_s / 1000 < one_by_one_s / 50 / 2


def test_tls_with_an_authority_of_ones_own(rabbit: RabbitHarness) -> None:
    queue, broker = rabbit.address(), client(rabbit, rabbit._own().tls_url)
    broker.subscribe([queue])
    assert list(broker.publish(queue, [1])) == [1]
    assert work_off(broker, 1) == [1]


def test_tls_refuses_a_server_that_nobody_vouches_for(rabbit: RabbitHarness) -> None:
    broker = client(rabbit, rabbit._own().tls_url.split("?", maxsplit=1)[0])
    assert list(broker.publish(rabbit.address(), [1])) == []


def test_a_wrong_password_is_told_without_telling_it(
    rabbit: RabbitHarness, caplog: pytest.LogCaptureFixture
) -> None:
    url = rabbit.server.url.replace("guest:guest", "guest:s3cret")
    broker, queue = client(rabbit, url), QueueAddress(1, "nowhere", "cpu")

    with pytest.raises(BrokerUnreachableError) as caught:
        broker.depth(queue)

    assert "authentication" in caplog.text.lower()
    assert "s3cret" not in caplog.text + str(caught.value)
