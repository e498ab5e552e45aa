"""Publishing: a graph is there as a whole or not at all, once, and hangs rightly on older ones."""

import json
import threading

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from tests.integration.engine.world import World, publish_run

from tianyu.schema.database import Database
from tianyu.schema.engine_tables import Dependency, Process, Run
from tianyu.schema.errors import GraphError
from tianyu.schema.states import BAD, State
from tianyu.schema.transitions.audit import audit
from tianyu.schema.transitions.blocking import reconcile
from tianyu.schema.transitions.publish import ProcessSpec, insert_run, run_key


def test_a_chain_starts_with_its_first_process(world: World) -> None:
    pids = world.publish({"a": [], "b": ["a"], "c": ["a", "b"]})
    assert [world.row(pid).pending for pid in pids.values()] == [0, 1, 2]
    assert world.states(pids.values()) == [State.READY, State.WAITING, State.WAITING]


def test_what_was_published_is_in_the_row(world: World) -> None:
    spec = ProcessSpec(7, "stack", {"images": [1, 2], "θ": 0.5}, 3, (), 5, repeatable=False)
    with world.database.write() as connection:
        run_id = publish_run(connection, world.run([spec]))
    row = world.row(7)
    assert (row.run_id, row.command, row.queue_id) == (run_id, "stack", 3)
    assert (row.priority, row.repeatable) == (5, False)
    assert row.parameters == {"images": [1, 2], "θ": 0.5}
    assert row.created_us > 1_600_000_000_000_000


def test_naming_a_parent_twice_is_one_dependency(world: World) -> None:
    pids = world.publish({"a": [], "b": ["a", "a"]})
    assert world.row(pids["b"]).pending == 1
    world.finish(pids["a"])
    assert world.state(pids["b"]) is State.READY


@pytest.mark.parametrize(
    ("processes", "complaint"),
    [
        ([(1, ()), (1, ())], "process 1 is in the graph twice"),
        ([(1, (2,)), (2, ())], "process 2 is a parent before it is published"),
        ([(1, (1,))], "process 1 is a parent before it is published"),
        ([(1, (2,)), (2, (1,))], "cycle"),
        ([(1, ()), (2, (1, 99))], "parent process 99 does not exist"),
    ],
)
def test_a_graph_that_cannot_run_is_refused_as_a_whole(
    world: World, processes: list[tuple[int, tuple[int, ...]]], complaint: str
) -> None:
    specs = [ProcessSpec(pid, "step", {}, 1, parents) for pid, parents in processes]
    with pytest.raises(GraphError, match=complaint), world.database.write() as connection:
        publish_run(connection, world.run(specs))
    assert count(world.database, Run, Process, Dependency) == [0, 0, 0]


def test_parameters_that_are_not_json_are_refused(world: World) -> None:
    spec = ProcessSpec(1, "step", {"radius_pix": float("nan")}, 1)
    with (
        pytest.raises(GraphError, match=r"process 1 \(step\).*null instead of NaN"),
        world.database.write() as connection,
    ):
        publish_run(connection, world.run([spec]))


def test_a_graph_larger_than_one_list_of_ids(world: World) -> None:
    (root,) = world.publish({"root": []}).values()
    names = [str(i) for i in range(1201)]
    pids = world.publish({name: [root] for name in names})
    last = world.publish({"last": list(pids.values())})["last"]
    assert world.row(last).pending == 1201
    world.finish(root)
    assert {world.state(pid) for pid in pids.values()} == {State.READY}


# -- once ------------------------------------------------------------------------------------


def test_publishing_the_same_again_changes_nothing(world: World) -> None:
    _, processes = world.specs({"a": [], "b": ["a"]})
    _, again = world.specs({"a": [], "b": ["a"]})
    with world.database.write() as connection:
        first = publish_run(connection, world.run(processes, "the same"))
    with world.database.write() as connection:
        second = publish_run(connection, world.run(again, "the same"))
    assert second == first
    assert count(world.database, Run, Process, Dependency) == [1, 2, 1]


def test_the_unique_key_decides_where_nobody_looked(world: World) -> None:
    _, processes = world.specs({"a": []})
    run = world.run(processes, "the same")
    with world.database.write() as connection:
        publish_run(connection, run)
    with pytest.raises(IntegrityError), world.database.write() as connection:
        insert_run(connection, run)
    assert count(world.database, Run) == [1]


def test_an_id_that_is_taken_undoes_the_whole_run(world: World) -> None:
    _, processes = world.specs({"a": [], "b": ["a"]})
    with world.database.write() as connection:
        publish_run(connection, world.run(processes, "first"))
    with pytest.raises(IntegrityError), world.database.write() as connection:
        publish_run(connection, world.run([ProcessSpec(77, "step", {}, 1), *processes], "second"))
    assert count(world.database, Run, Process, Dependency) == [1, 2, 1]


def test_two_that_publish_the_same_at_the_same_time_make_one_run(world: World) -> None:
    graphs = [world.specs({"a": [], "b": ["a"]})[1] for _ in range(4)]
    start = threading.Barrier(len(graphs))
    run_ids: list[int] = []

    def work(processes: list[ProcessSpec]) -> None:
        run = world.run(processes, "the same")
        start.wait()
        try:
            run_id = world.database.retry(lambda connection: publish_run(connection, run))
        except IntegrityError:  # another one was first, and has committed
            run_id = world.database.retry(lambda connection: publish_run(connection, run))
        run_ids.append(run_id)

    threads = [threading.Thread(target=work, args=(graph,)) for graph in graphs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(run_ids) == len(graphs)
    assert len(set(run_ids)) == 1
    assert count(world.database, Run, Process, Dependency) == [1, 2, 1]


def test_the_key_of_a_run_names_what_is_computed() -> None:
    key = run_key("night", 1, {"radius": 5, "chunk": 10}, ["f1", "f2"])
    assert key == run_key("night", 1, {"chunk": 10, "radius": 5}, ["f1", "f2"])
    assert len(key) == 64
    others = [
        run_key("other", 1, {"radius": 5, "chunk": 10}, ["f1", "f2"]),
        run_key("night", 2, {"radius": 5, "chunk": 10}, ["f1", "f2"]),
        run_key("night", 1, {"radius": 6, "chunk": 10}, ["f1", "f2"]),
        run_key("night", 1, {"radius": 5, "chunk": 10}, ["f2", "f1"]),
        run_key("night", 1, {"radius": 5, "chunk": 10}, ["f1f2"]),
    ]
    assert len({key, *others}) == 6


# -- onto older processes ----------------------------------------------------------------------


def older(world: World, state: State) -> int:
    """Return a process in a state, without children."""
    pids = world.publish({"grandparent": [], "parent": ["grandparent"]})
    parent = pids["parent"]
    if state is State.BLOCKED:
        world.break_(pids["grandparent"])
    elif state is not State.WAITING:
        world.finish(pids["grandparent"])
    if state is State.QUEUED:
        world.dispatch()
    elif state is State.RUNNING:
        world.claim(parent)
    elif state is State.SUCCEEDED:
        world.finish(parent)
    elif state is State.FAILED:
        world.break_(parent)
    elif state is State.CANCELLED:
        world.cancel(parent)
    if state is State.BLOCKED:
        with world.database.write() as connection:
            reconcile(connection)
    assert world.state(parent) is state
    return parent


@pytest.mark.parametrize("is_counted", [False, True])
@pytest.mark.parametrize("state", list(State))
def test_a_child_published_onto_an_older_parent(
    world: World, state: State, is_counted: bool
) -> None:
    parent = older(world, state)
    if is_counted:
        world.reconcile()
    pids = world.publish({"child": [parent], "grandchild": ["child"]})
    if state is State.SUCCEEDED:
        expected = State.READY
    elif state in BAD:
        expected = State.BLOCKED
    else:
        expected = State.WAITING
    # A bad parent that was not counted yet is counted by the blocking rule, not by us.
    at_once = State.WAITING if state in BAD and not is_counted else expected
    assert world.state(pids["child"]) is at_once
    world.reconcile()
    row = world.row(pids["child"])
    assert row.state == expected
    assert row.pending == (state is not State.SUCCEEDED)
    assert row.bad_parents == (state in BAD)
    assert world.state(pids["grandchild"]) is (State.BLOCKED if state in BAD else State.WAITING)
    with world.database.read() as connection:
        assert audit(connection) == []


def test_parents_in_different_states_are_all_counted(world: World) -> None:
    parents = [older(world, state) for state in (State.SUCCEEDED, State.RUNNING, State.FAILED)]
    world.reconcile()
    child = world.publish({"new": [], "child": ["new", *parents]})["child"]
    row = world.row(child)
    assert (row.state, row.pending, row.bad_parents) == (State.BLOCKED, 3, 1)


def count(database: Database, *tables: type) -> list[int]:
    with database.read() as connection:
        return [connection.scalar(select(func.count()).select_from(t)) or 0 for t in tables]


def test_the_order_of_keys_does_not_change_what_is_stored(world: World) -> None:
    specs = [
        ProcessSpec(1, "step", {"a": 1, "b": 2}, 1),
        ProcessSpec(2, "step", {"b": 2, "a": 1}, 1),
    ]
    with world.database.write() as connection:
        publish_run(connection, world.run(specs))
    assert json.dumps(world.row(1).parameters) == json.dumps(world.row(2).parameters)
