"""The blocking rule, both ways, and what happens while it is half-way through."""

import pytest
from sqlalchemy import func, select
from tests.integration.engine.world import World

from tianyu.schema.engine_tables import Process
from tianyu.schema.states import State
from tianyu.schema.transitions import blocking
from tianyu.schema.transitions.audit import audit

BLOCKED, WAITING, READY = State.BLOCKED, State.WAITING, State.READY
CHAIN = {"a": [], "b": ["a"], "c": ["b"], "d": ["c"]}


def one_round(world: World, limit: int = 200) -> int:
    with world.database.write() as connection:
        return blocking.reconcile(connection, limit=limit)


@pytest.fixture(autouse=True)
def _counters_are_right(world: World) -> object:
    yield
    world.reconcile()
    with world.database.read() as connection:
        assert audit(connection) == []


def test_a_failure_blocks_every_descendant(world: World) -> None:
    pids = world.publish(CHAIN)
    world.break_(pids["a"])
    assert world.reconcile() == 4
    assert world.states(pids.values()) == [State.FAILED, BLOCKED, BLOCKED, BLOCKED]


def test_each_round_goes_one_generation_further(world: World) -> None:
    pids = world.publish(CHAIN)
    world.break_(pids["a"])
    assert [one_round(world) for _ in range(5)] == [1, 1, 1, 1, 0]
    assert set(world.states(list(pids.values())[1:])) == {BLOCKED}


def test_a_rescue_frees_them_all(world: World) -> None:
    pids = world.publish(CHAIN)
    world.break_(pids["a"])
    world.reconcile()
    world.rescue(pids["a"])
    world.reconcile()
    assert world.states(pids.values()) == [READY, WAITING, WAITING, WAITING]
    world.finish(*pids.values())
    assert set(world.states(pids.values())) == {State.SUCCEEDED}


def test_a_cousin_that_needs_both_waits_for_the_second_rescue(world: World) -> None:
    pids = world.publish({"a": [], "b": [], "c": ["a", "b"]})
    world.break_(pids["a"], pids["b"])
    world.reconcile()
    assert world.row(pids["c"]).bad_parents == 2
    world.rescue(pids["a"])
    world.reconcile()
    assert world.state(pids["c"]) is BLOCKED
    world.rescue(pids["b"])
    world.reconcile()
    assert world.state(pids["c"]) is WAITING


def test_what_does_not_descend_from_it_goes_on(world: World) -> None:
    pids = world.publish({"a": [], "b": [], "after a": ["a"], "after b": ["b"]})
    world.break_(pids["a"])
    world.reconcile()
    world.finish(pids["b"], pids["after b"])
    assert world.state(pids["after a"]) is BLOCKED


def test_a_rescue_before_anybody_was_told_leaves_nothing_to_tell(world: World) -> None:
    pids = world.publish(CHAIN)
    world.break_(pids["a"])
    world.rescue(pids["a"])
    assert one_round(world) == 0
    assert world.state(pids["b"]) is WAITING


def test_a_rescue_between_two_rounds_catches_up_with_the_blocking(world: World) -> None:
    pids = world.publish(CHAIN)
    world.break_(pids["a"])
    one_round(world)
    assert world.states(pids.values()) == [State.FAILED, BLOCKED, WAITING, WAITING]
    world.rescue(pids["a"])
    world.reconcile()
    assert world.states(pids.values()) == [READY, WAITING, WAITING, WAITING]


def test_a_parent_rescued_and_finished_before_its_child_was_freed(world: World) -> None:
    pids = world.publish({"a": [], "b": ["a"]})
    world.break_(pids["a"])
    world.reconcile()
    world.rescue(pids["a"])
    world.finish(pids["a"])
    # Nobody has told it yet, so it must not run yet: its count of bad parents would go wrong.
    assert world.state(pids["b"]) is BLOCKED
    assert world.row(pids["b"]).pending == 0
    world.reconcile()
    assert world.state(pids["b"]) is READY


def test_a_parent_that_breaks_again_before_the_child_was_freed(world: World) -> None:
    pids = world.publish({"a": [], "b": ["a"]})
    world.break_(pids["a"])
    world.reconcile()
    world.rescue(pids["a"])
    world.break_(pids["a"])
    assert one_round(world) == 0
    assert world.state(pids["b"]) is BLOCKED


def test_one_batch_may_both_block_and_free(world: World) -> None:
    pids = world.publish({"a": [], "b": [], "c": ["a", "b"]})
    world.break_(pids["a"])
    world.reconcile()
    world.rescue(pids["a"])
    world.break_(pids["b"])
    assert one_round(world) == 2
    assert (world.state(pids["c"]), world.row(pids["c"]).bad_parents) == (BLOCKED, 1)


def test_a_child_cancelled_by_hand_stays_so_whatever_its_parents_do(world: World) -> None:
    pids = world.publish({"a": [], "b": ["a"], "c": ["b"]})
    world.break_(pids["a"])
    world.cancel(pids["b"])
    world.reconcile()
    world.rescue(pids["a"])
    world.reconcile()
    world.finish(pids["a"])
    assert world.states(pids.values()) == [State.SUCCEEDED, State.CANCELLED, BLOCKED]
    world.rescue(pids["b"])
    world.reconcile()
    assert world.states(pids.values()) == [State.SUCCEEDED, READY, WAITING]


def test_a_child_published_while_its_parent_is_about_to_be_counted(world: World) -> None:
    parent = world.publish({"a": []})["a"]
    world.break_(parent)
    child = world.publish({"b": [parent]})["b"]
    assert (world.state(child), world.row(child).bad_parents) == (WAITING, 0)
    world.reconcile()
    assert (world.state(child), world.row(child).bad_parents) == (BLOCKED, 1)


def test_a_child_published_while_its_parent_is_about_to_be_freed(world: World) -> None:
    parent = world.publish({"a": []})["a"]
    world.break_(parent)
    world.reconcile()
    world.rescue(parent)
    child = world.publish({"b": [parent]})["b"]
    # Counted as bad, since the parent still is; the rule is going to subtract it.
    assert (world.state(child), world.row(child).bad_parents) == (BLOCKED, 1)
    world.reconcile()
    assert (world.state(child), world.row(child).bad_parents) == (WAITING, 0)


def test_a_batch_is_no_larger_than_asked_for(world: World) -> None:
    names = [str(i) for i in range(5)]
    pids = world.publish({name: [] for name in names} | {"child": names})
    world.cancel(*pids.values())
    assert one_round(world, limit=2) == 2
    assert one_round(world, limit=4) == 4
    assert one_round(world, limit=4) == 0
    assert world.row(pids["child"]).bad_parents == 5


def test_a_thousand_children_are_blocked_and_freed(world: World) -> None:
    pids = world.publish({"a": []} | {str(i): ["a"] for i in range(1000)})
    world.break_(pids["a"])
    world.reconcile()
    assert number_in(world, BLOCKED) == 1000
    world.rescue(pids["a"])
    world.reconcile()
    assert number_in(world, WAITING) == 1000


def number_in(world: World, state: State) -> int:
    with world.database.read() as connection:
        return connection.scalar(select(func.count()).where(Process.state == state.value)) or 0
