"""The broker in memory misbehaves as told, and the same way for the same seed."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.broker.interface import QueueAddress
from tianyu.broker.memory import Faults, MemoryBroker, MemoryServer

QUEUE = QueueAddress(3, "here", "cpu")
IDS = list(range(1, 101))


def sent_through(faults: Faults, seed: int = 0) -> tuple[list[int], list[int]]:
    """Publish all ids; return those confirmed and those received, in order."""
    broker = MemoryBroker(MemoryServer(faults, seed))
    broker.subscribe([QUEUE])
    confirmed = list(broker.publish(QUEUE, IDS))
    received = []
    while (hint := broker.receive(0.0)) is not None:
        received.append(hint.process_id)
        broker.acknowledge(hint)
    return confirmed, received


def test_without_faults_everything_arrives_once_in_order() -> None:
    assert sent_through(Faults()) == (IDS, IDS)


def test_losses_are_confirmed_nevertheless() -> None:
    confirmed, received = sent_through(Faults(loss=0.3))
    assert confirmed == IDS
    assert 50 < len(received) < 90
    assert set(received) < set(IDS)


def test_what_is_not_confirmed_may_have_arrived() -> None:
    confirmed, received = sent_through(Faults(silence=0.3))
    assert received == IDS
    assert 50 < len(confirmed) < 90


def test_repetitions_arrive_twice() -> None:
    _, received = sent_through(Faults(repetition=0.3))
    counts = Counter(received)
    assert set(counts) == set(IDS)
    assert set(counts.values()) == {1, 2}


def test_disorder_keeps_everything() -> None:
    _, received = sent_through(Faults(disorder=0.5))
    assert received != IDS
    assert sorted(received) == IDS


probability = st.floats(0.0, 1.0)


@given(st.builds(Faults, probability, probability, probability, probability), st.integers())
def test_the_seed_decides_everything(faults: Faults, seed: int) -> None:
    assert sent_through(faults, seed) == sent_through(faults, seed)


@given(st.builds(Faults, st.just(0.0), probability, probability, probability), st.integers())
def test_only_loss_loses(faults: Faults, seed: int) -> None:
    _, received = sent_through(faults, seed)
    assert set(received) == set(IDS)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_probability_is_one(value: float) -> None:
    with pytest.raises(ValueError, match=r"loss is a probability"):
        Faults(loss=value)


def test_messages_outlive_a_wiped_client_but_not_a_wiped_server() -> None:
    server = MemoryServer()
    first = MemoryBroker(server)
    first.publish(QUEUE, [1, 2])
    first.subscribe([QUEUE], prefetch=2)
    assert first.receive(0.0) is not None
    first.lose_connection()
    assert first.depth(QUEUE) == 2

    server.wipe()
    assert first.depth(QUEUE) == 0
