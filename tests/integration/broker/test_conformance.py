"""What every broker that carries messages does, whatever it is made of."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from tests.integration.broker.harness import Harness
from tests.integration.broker.waiting import take, until, work_off

from tianyu.broker.errors import BrokerUnreachableError
from tianyu.broker.interface import Broker

LARGEST = 2**63 - 1


def test_what_is_published_is_confirmed_and_arrives_once_in_order(harness: Harness) -> None:
    queue, sender, consumer = harness.address(), harness.client(), harness.client()
    consumer.subscribe([queue])

    assert sorted(sender.publish(queue, [3, 1, LARGEST])) == [1, 3, LARGEST]

    assert work_off(consumer, 3) == [3, 1, LARGEST]
    assert consumer.receive(0.1) is None


def test_publishing_nothing_is_no_error(harness: Harness) -> None:
    assert list(harness.client().publish(harness.address(), [])) == []


def test_messages_wait_for_consumers_that_come_later(harness: Harness) -> None:
    queue, sender, consumer = harness.address(), harness.client(), harness.client()
    sender.publish(queue, [1, 2])
    sender.close()

    consumer.subscribe([queue])

    assert work_off(consumer, 2) == [1, 2]


def test_hints_name_the_queue_they_came_from(harness: Harness) -> None:
    cpu, gpu = harness.address("cpu"), harness.address("gpu")
    sender, consumer = harness.client(), harness.client()
    consumer.subscribe([cpu, gpu])

    sender.publish(cpu, [1])
    sender.publish(gpu, [2])

    assert {(h.process_id, h.queue_id) for h in take(consumer, 2)} == {(1, cpu.id), (2, gpu.id)}


def test_subscribing_again_replaces_the_queues(harness: Harness) -> None:
    old, new = harness.address("old"), harness.address("new")
    sender, consumer = harness.client(), harness.client()
    consumer.subscribe([old])
    sender.publish(old, [1])
    assert work_off(consumer, 1) == [1]

    consumer.subscribe([new])
    sender.publish(new, [3])
    assert work_off(consumer, 1) == [3]

    sender.publish(old, [2])
    assert consumer.receive(0.2) is None


def test_an_unacknowledged_hint_comes_back_when_its_consumer_ends(harness: Harness) -> None:
    queue, first, second = harness.address(), harness.client(), harness.client()
    first.subscribe([queue], prefetch=2)
    first.publish(queue, [1, 2])
    done, _ = take(first, 2)
    first.acknowledge(done)

    first.close()

    second.subscribe([queue])
    assert work_off(second, 1) == [2]
    assert second.receive(0.1) is None


def test_a_consumer_holds_no_more_hints_than_it_has_children(harness: Harness) -> None:
    queue, busy, idle = harness.address(), harness.client(), harness.client()
    busy.subscribe([queue], prefetch=2)
    busy.publish(queue, [1, 2, 3, 4, 5])
    held = take(busy, 2)
    assert busy.receive(0.1) is None

    idle.subscribe([queue])
    others = work_off(idle, 3)

    assert sorted(others + [hint.process_id for hint in held]) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "garbage", [b"", b"\x00\xff", b"[1]", b'{"v":9,"process_id":"1"}', b"x" * 100_000]
)
def test_what_cannot_be_read_is_set_aside_and_stops_nobody(
    harness: Harness, garbage: bytes
) -> None:
    queue, sender, consumer = harness.address(), harness.client(), harness.client()
    consumer.subscribe([queue])
    sender.publish(queue, [1])
    harness.send(queue, garbage)
    sender.publish(queue, [2])

    assert work_off(consumer, 2) == [1, 2]

    letters: list[bytes] = []

    def has_arrived() -> bool:
        letters.extend(harness.dead(queue))
        return bool(letters)

    until(has_arrived, "the dead letter arrives")
    assert letters == [garbage]
    assert sender.depth(queue) == 0


def test_depth_counts_the_hints_that_wait(harness: Harness) -> None:
    queue, broker = harness.address(), harness.client()
    assert broker.depth(queue) == 0

    broker.publish(queue, range(1, 8))
    until(lambda: broker.depth(queue) == 7, "all seven wait")

    broker.subscribe([queue], prefetch=3)
    take(broker, 3)
    until(lambda: broker.depth(queue) == 4, "three are on their way")


def test_receiving_takes_no_longer_than_asked(harness: Harness) -> None:
    queue, consumer = harness.address(), harness.client()
    consumer.subscribe([queue])

    start = time.monotonic()
    assert consumer.receive(0.0) is None
    assert consumer.receive(0.3) is None

    assert 0.3 <= time.monotonic() - start < 1.5


def test_a_call_of_wake_reaches_those_who_wait_elsewhere(harness: Harness) -> None:
    waiting, waking = harness.client(), harness.client()
    assert not waiting.wait(0.3)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(waiting.wait, 20.0)
        # Again and again: a single call may come before the other has connected.
        while not answer.done():
            waking.wake()
            time.sleep(0.05)
        assert answer.result()


def test_a_call_of_wake_ends_receiving_at_the_same_client(harness: Harness) -> None:
    queue, consumer = harness.address(), harness.client()
    consumer.subscribe([queue])
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(consumer.receive, 20.0)
        time.sleep(0.1)
        start = time.monotonic()
        consumer.wake()
        assert answer.result() is None
    assert time.monotonic() - start < 5.0


def test_many_consumers_share_many_hints(harness: Harness) -> None:
    queue, sender = harness.address(), harness.client()
    ids = range(1, 1001)
    consumers = [harness.client() for _ in range(3)]
    for consumer in consumers:
        consumer.subscribe([queue], prefetch=8)
    seen: Counter[int] = Counter()

    all_have_one = Barrier(len(consumers))

    def work(consumer: Broker) -> int:
        count = 0
        while seen.total() < len(ids):
            hint = consumer.receive(0.1)
            if hint is not None:
                seen[hint.process_id] += 1
                count += 1
                consumer.acknowledge(hint)
                if count == 1:
                    # Else two could be done before the third has begun.
                    all_have_one.wait(20.0)
        return count

    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(work, consumer) for consumer in consumers]
        assert len(sender.publish(queue, ids)) == len(ids)
        shares = [answer.result() for answer in answers]

    assert seen == Counter(ids)
    assert min(shares) > 0


def test_a_queue_that_was_wiped_serves_again(harness: Harness) -> None:
    queue, sender, consumer = harness.address(), harness.client(), harness.client()
    consumer.subscribe([queue])
    sender.publish(queue, [1])
    assert work_off(consumer, 1) == [1]
    sender.publish(queue, [2])

    harness.wipe(queue)

    assert list(sender.publish(queue, [3])) == [3]
    # 2 is lost or was on its way already: both must be harmless to the engine.
    until(lambda: work_off(consumer, 1) == [3], "what was published afterwards arrives")
    assert sender.depth(queue) == 0


def test_an_alarm_of_the_server_is_seen_and_passes(harness: Harness) -> None:
    queue, broker = harness.address(), harness.client()
    assert list(broker.publish(queue, [1])) == [1]

    harness.set_alarm(on=True)
    assert list(broker.publish(queue, [2])) == []
    assert broker.is_blocked
    # Others must still be able to ask and to work off what is there.
    assert broker.depth(queue) == 1

    harness.set_alarm(on=False)
    until(lambda: not broker.is_blocked, "the alarm is over")
    assert list(broker.publish(queue, [3])) == [3]


def test_everybody_returns_after_the_server_was_killed(harness: Harness) -> None:
    queue, sender, consumer = harness.address(), harness.client(), harness.client()
    consumer.subscribe([queue])
    sender.publish(queue, [1, 2])
    (late,) = take(consumer, 1)

    harness.kill_server()
    # Until the loss is noticed a message may be sent in vain; none is confirmed.
    assert list(sender.publish(queue, [3])) == []
    with pytest.raises(BrokerUnreachableError):
        sender.depth(queue)
    assert consumer.receive(0.1) is None
    consumer.acknowledge(late)

    harness.start_server()
    # Confirmed is on disk; what was delivered but not acknowledged comes again.
    assert set(work_off(consumer, 2)) == {1, 2}
    until(lambda: list(sender.publish(queue, [4])) == [4], "publishing works again")
    assert work_off(consumer, 1) == [4]


def test_closing_twice_and_late_calls_are_harmless(harness: Harness) -> None:
    queue, broker = harness.address(), harness.client()
    broker.subscribe([queue])
    broker.publish(queue, [1])
    (hint,) = take(broker, 1)

    broker.close()
    broker.close()
    broker.acknowledge(hint)
    broker.close()
