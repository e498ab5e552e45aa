"""Managers and consumers with a broker between them that carries messages, and loses some."""

from collections import Counter

from sqlalchemy import update
from tests.integration.consumer.memory_broker import MemoryBroker
from tests.integration.consumer.yard import SITE, Yard, beside, until, work

from tianyu.consumer.consumer import Consumer, ConsumerConfig
from tianyu.manager.dispatcher import Dispatcher
from tianyu.manager.manager import Manager, ManagerConfig
from tianyu.schema.states import State
from tianyu.schema.tables import Process


def age(yard: Yard, by_s: float = 120.0) -> None:
    """Let time pass since everything that was handed to the broker."""
    by_us = int(by_s * 1e6)
    with yard.database.write() as connection:
        connection.execute(
            update(Process).values(
                dispatched_at=Process.dispatched_at - by_us,
                confirmed_at=Process.confirmed_at - by_us,
            )
        )


def test_a_graph_is_worked_off_once_though_messages_are_lost_and_repeated(yard: Yard) -> None:
    graph = {f"a{i}": work("noop") for i in range(30)}
    graph |= {f"b{i}": work("noop", f"a{i}", f"a{(i + 1) % 30}") for i in range(30)}
    pids = yard.publish(**graph, last=work("noop", *[f"b{i}" for i in range(30)]))
    broker = MemoryBroker(losing=5, repeating=3)
    manager = Manager(yard.database, broker, ManagerConfig(poll_s=0.05))
    consumer = Consumer(yard.database, broker, ConsumerConfig(SITE, processes=2, poll_s=0.05))
    with beside(manager.run, manager.stop), beside(consumer.run, consumer.drain):

        def is_done() -> bool:
            # The patience of minutes passes between two looks.
            age(yard)
            manager._next_sweep = 0.0
            return yard.state(pids["last"]) is State.SUCCEEDED

        until(is_done)
    assert Counter(o for pid in pids.values() for o in yard.outcomes(pid)) == {"succeeded": 61}
    assert yard.products() == sorted((pid, 1) for pid in pids.values())
    assert broker.unacknowledged == 0
    assert broker.prefetch == 2


def test_what_waits_for_the_broker_is_bounded(yard: Yard) -> None:
    yard.publish(**{f"p{i}": work("noop") for i in range(130)})
    broker = MemoryBroker()
    dispatcher = Dispatcher(yard.database, broker)
    assert dispatcher.dispatch() == 100
    assert dispatcher.dispatch() == 0
    # Claimed without its message, which still lies there: no other may take its place yet.
    (pid, *_) = broker.sent
    with yard.database.write() as connection:
        connection.execute(update(Process).where(Process.id == pid).values(state="succeeded"))
    assert dispatcher.dispatch() == 0
    assert broker.receive(0.0) is not None
    assert dispatcher.dispatch() == 1


def test_what_cannot_be_sent_stays_ready(yard: Yard) -> None:
    (pid,) = yard.publish(one=work("noop")).values()
    broker = MemoryBroker(is_blocked=True)
    dispatcher = Dispatcher(yard.database, broker)
    assert (dispatcher.dispatch(), broker.sent) == (0, [])
    broker.is_blocked, broker.is_away = False, True
    assert (dispatcher.dispatch(), yard.state(pid)) == (0, State.READY)
    broker.is_away = False
    assert dispatcher.dispatch() == 1


def test_a_broker_that_blocks_gets_and_loses_nothing(yard: Yard) -> None:
    (pid,) = yard.publish(one=work("noop")).values()
    broker = MemoryBroker(is_mute=True)
    dispatcher = Dispatcher(yard.database, broker)
    assert dispatcher.dispatch() == 1
    assert yard.row(pid).confirmed_at is None
    age(yard)
    broker.is_blocked = True
    assert dispatcher.sweep() == 0
    assert yard.state(pid) is State.QUEUED
    broker.is_blocked = False
    # Never confirmed, so that nobody need be asked whether it is still on its way.
    assert dispatcher.sweep() == 1
    assert yard.state(pid) is State.READY


def test_an_empty_queue_is_told_from_a_broker_that_is_away(yard: Yard) -> None:
    (pid,) = yard.publish(one=work("noop")).values()
    broker = MemoryBroker(losing=1)
    dispatcher = Dispatcher(yard.database, broker)
    dispatcher.dispatch()
    assert yard.row(pid).confirmed_at is not None
    assert dispatcher.sweep() == 0  # not yet: it may be on its way
    age(yard)
    broker.is_away = True
    assert dispatcher.sweep() == 0
    broker.is_away = False
    assert dispatcher.sweep() == 1
    assert yard.state(pid) is State.READY


def test_an_embedded_broker_is_handed_nothing(yard: Yard) -> None:
    (pid,) = yard.publish(one=work("noop")).values()
    assert yard.manager().poll() is False
    assert yard.state(pid) is State.READY
