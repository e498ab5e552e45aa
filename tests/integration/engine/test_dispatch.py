"""Handing over to a broker that may lose, repeat, delay or forget everything."""

import pytest
from sqlalchemy import select
from tests.integration.engine.world import LEASE_S, QUEUE, World

from tianyu.schema.engine_tables import Process
from tianyu.schema.states import ErrorKind, State
from tianyu.schema.transitions.batches import ID_BATCH
from tianyu.schema.transitions.claim import claim_queued
from tianyu.schema.transitions.dispatch import (
    Dispatch,
    confirm,
    count_queued,
    return_lost,
    return_unconfirmed,
    take_ready,
)


def take(world: World, limit: int = 100, queue: int = QUEUE) -> list[Dispatch]:
    with world.database.write() as connection:
        return take_ready(connection, queue, limit)


def confirm_all(world: World, dispatches: list[Dispatch]) -> int:
    with world.database.write() as connection:
        return confirm(connection, dispatches)


def sweep(world: World) -> int:
    with world.database.write() as connection:
        return return_unconfirmed(connection)


def give_back_lost(world: World, queue: int = QUEUE) -> int:
    with world.database.write() as connection:
        return return_lost(connection, queue)


# -- taking ------------------------------------------------------------------------------------


def test_the_most_urgent_come_first_and_among_equals_the_oldest(world: World) -> None:
    late = world.publish({"a": [], "b": []}, priority=200)
    early = world.publish({"c": [], "d": []}, priority=50)
    expected = [early["c"], early["d"], late["a"], late["b"]]
    assert [d.process_id for d in take(world)] == expected


def test_no_more_than_the_limit_are_taken(world: World) -> None:
    world.publish({str(i): [] for i in range(5)})
    assert [len(take(world, limit)) for limit in (2, 0, -1, 2, 2, 2)] == [2, 0, 0, 2, 1, 0]


def test_only_the_own_queue_is_touched(world: World) -> None:
    world.publish({"a": []}, queue=1)
    other = world.publish({"b": []}, queue=2)["b"]
    take(world, queue=1)
    assert world.state(other) is State.READY
    with world.database.read() as connection:
        assert [count_queued(connection, queue) for queue in (1, 2, 3)] == [1, 0, 0]


def test_what_must_still_wait_after_a_failure_is_left(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    world.fail(world.claim(pid), ErrorKind.TRANSIENT)
    assert take(world) == []
    world.make_due(pid)
    assert take(world) == [Dispatch(pid, 2)]


def test_more_than_one_list_of_ids(world: World) -> None:
    world.publish({str(i): [] for i in range(ID_BATCH + 1)})
    dispatches = take(world, 10_000)
    assert len(dispatches) == ID_BATCH + 1
    assert confirm_all(world, dispatches) == ID_BATCH + 1


# -- confirming --------------------------------------------------------------------------------


def test_a_confirm_holds_the_row_back_from_the_sweeper(world: World) -> None:
    world.publish({"a": [], "b": []})
    a, _b = take(world)
    assert confirm_all(world, [a]) == 1
    world.age_dispatches()
    assert sweep(world) == 1
    assert world.state(a.process_id) is State.QUEUED


def test_a_late_confirm_of_an_earlier_dispatch_vouches_for_nothing(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    first = take(world)
    world.age_dispatches()
    sweep(world)
    second = take(world)
    assert (first, second) == ([Dispatch(pid, 1)], [Dispatch(pid, 2)])
    assert confirm_all(world, first) == 0
    assert world.row(pid).confirmed_at is None
    assert confirm_all(world, second) == 1


def test_a_confirm_after_the_claim_changes_nothing(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    dispatches = take(world)
    world.claim(pid)
    assert confirm_all(world, dispatches) == 0
    assert world.row(pid).confirmed_at is None


def test_a_new_dispatch_begins_unconfirmed(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    confirm_all(world, take(world))
    world.fail(world.claim(pid), ErrorKind.TRANSIENT)
    world.make_due(pid)
    take(world)
    assert world.row(pid).confirmed_at is None


# -- taking back -------------------------------------------------------------------------------


def test_young_dispatches_are_left_to_the_broker(world: World) -> None:
    world.publish({"a": [], "b": []})
    a, _b = take(world)
    confirm_all(world, [a])
    assert (sweep(world), give_back_lost(world)) == (0, 0)


@pytest.mark.parametrize(("age_s", "returned"), [(29.0, 0), (31.0, 1)])
def test_a_confirm_is_awaited_for_half_a_minute(world: World, age_s: float, returned: int) -> None:
    world.publish({"a": []})
    take(world)
    world.age_dispatches(age_s)
    assert sweep(world) == returned


@pytest.mark.parametrize(("age_s", "returned"), [(59.0, 0), (61.0, 1)])
def test_a_delivery_is_awaited_for_a_minute(world: World, age_s: float, returned: int) -> None:
    world.publish({"a": []})
    confirm_all(world, take(world))
    world.age_dispatches(age_s)
    assert give_back_lost(world) == returned


def test_a_wiped_queue_is_filled_anew_and_others_are_not_touched(world: World) -> None:
    mine = world.publish({"a": []}, queue=1)["a"]
    other = world.publish({"b": []}, queue=2)["b"]
    confirm_all(world, world.dispatch())
    world.age_dispatches()
    assert give_back_lost(world, queue=1) == 1
    assert world.states([mine, other]) == [State.READY, State.QUEUED]
    assert take(world, queue=1) == [Dispatch(mine, 2)]


def test_the_message_that_was_believed_lost_comes_after_all(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    take(world)
    world.age_dispatches()
    sweep(world)
    with world.database.write() as connection:
        assert claim_queued(connection, pid, [QUEUE], "early", LEASE_S) is None
    take(world)
    with world.database.write() as connection:
        assert claim_queued(connection, pid, [QUEUE], "first copy", LEASE_S) is not None
    with world.database.write() as connection:
        assert claim_queued(connection, pid, [QUEUE], "second copy", LEASE_S) is None
    assert world.row(pid).worker_id == "first copy"


def test_many_are_given_back_in_several_transactions(world: World) -> None:
    world.publish({str(i): [] for i in range(ID_BATCH + 3)})
    take(world, 10_000)
    world.age_dispatches()
    assert [sweep(world), sweep(world), sweep(world)] == [ID_BATCH, 3, 0]
    with world.database.read() as connection:
        assert set(connection.scalars(select(Process.state))) == {State.READY}
