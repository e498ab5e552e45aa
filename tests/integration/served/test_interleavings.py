"""Two transactions at once, in an order that is forced: what a sequential test cannot see.

The first does all its work and stays open, the second starts, the first commits. Each story
is told once as it should be, and once with a planted mistake, to show that it would be seen.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, case, false, insert, select, update
from tests.integration.engine.backends import PRODUCT
from tests.integration.engine.test_mutants import success_without_a_fence
from tests.integration.engine.world import World, publish_run

from tianyu.schema.database import Database
from tianyu.schema.engine_tables import Dependency, Process
from tianyu.schema.errors import LostClaimError
from tianyu.schema.states import State
from tianyu.schema.transitions import finish, publish
from tianyu.schema.transitions.claim import Claim

Work = Callable[[Connection], Any]

A_MOMENT_S = 0.3
"""Long enough for a statement that does not have to wait."""

PATIENCE_S = 15.0


def overlap(database: Database, first: Work, second: Work) -> bool:
    """Start the second while the first has not committed; return whether it had to wait."""
    errors: list[BaseException] = []

    def run_second() -> None:
        try:
            with database.write() as connection:
                second(connection)
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)

    thread = threading.Thread(target=run_second)
    with database.write() as connection:
        first(connection)
        thread.start()
        thread.join(A_MOMENT_S)
        waited = thread.is_alive()
    thread.join(PATIENCE_S)
    assert not thread.is_alive(), "the second hangs"
    if errors:
        raise errors[0]
    return waited


def ending(claim: Claim) -> Work:
    """Commit a product and the success, as a consumer does."""

    def work(connection: Connection) -> None:
        values = {"process_id": claim.process_id, "attempt": claim.attempt}
        connection.execute(insert(PRODUCT).values(**values))
        finish.succeed(connection, claim.process_id, claim.token, finish.Usage())

    return work


# -- publishing onto a parent that is finishing ------------------------------------------------


def publish_onto_a_finishing_parent(world: World, *, publisher_first: bool) -> tuple[State, bool]:
    """Return the state of the child in the end, and whether one had to wait for the other."""
    parent = world.publish({"parent": []})["parent"]
    claim = world.claim(parent)
    pids, processes = world.specs({"child": [parent]})
    run = world.run(processes)
    works: list[Work] = [lambda c: publish_run(c, run), ending(claim)]
    first, second = works if publisher_first else works[::-1]
    waited = overlap(world.database, first, second)
    return world.state(pids["child"]), waited


@contextmanager
def no_share_lock() -> Iterator[None]:
    unlocked = select(Process.id, Process.state, Process.bad_counted).where(
        publish._LOCK_PARENTS.whereclause
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish, "_LOCK_PARENTS", unlocked)
        yield


@pytest.mark.parametrize("publisher_first", [True, False])
def test_a_child_published_while_its_parent_finishes_becomes_ready(
    world: World, publisher_first: bool
) -> None:
    state, waited = publish_onto_a_finishing_parent(world, publisher_first=publisher_first)
    assert waited, "the lock on the parent keeps the second back"
    assert state is State.READY


@pytest.mark.parametrize("publisher_first", [True, False])
def test_without_the_share_lock_it_would_wait_for_ever(world: World, publisher_first: bool) -> None:
    with no_share_lock():
        state, waited = publish_onto_a_finishing_parent(world, publisher_first=publisher_first)
    assert (state, waited) == (State.WAITING, False)


# -- two parents that finish together ----------------------------------------------------------


def two_parents_finish_together(world: World) -> State:
    pids = world.publish({"a": [], "b": [], "child": ["a", "b"]})
    overlap(world.database, ending(world.claim(pids["a"])), ending(world.claim(pids["b"])))
    return world.state(pids["child"])


@contextmanager
def counting_by_a_value_read_before() -> Iterator[None]:
    """Count children down without holding their rows while it is computed."""
    real = finish.succeed
    look = select(Dependency.child, Process.pending).join(Process, Process.id == Dependency.child)

    def succeed(connection: Connection, pid: int, token: str, usage: finish.Usage) -> int:
        children = connection.execute(look.where(Dependency.parent == pid)).all()
        real(connection, pid, token, usage)
        for child, pending in children:
            connection.execute(
                update(Process)
                .where(Process.id == child)
                .values(
                    pending=pending - 1,
                    state=case((pending == 1, State.READY.value), else_=Process.state),
                )
            )
        return len(children)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finish, "_CHILDREN", select(Dependency.child).where(false()))
        patch.setattr(finish, "succeed", succeed)
        yield


def test_the_child_of_two_parents_that_finish_together_becomes_ready(world: World) -> None:
    assert two_parents_finish_together(world) is State.READY


def test_counted_by_a_value_read_before_it_would_wait_for_ever(world: World) -> None:
    with counting_by_a_value_read_before():
        assert two_parents_finish_together(world) is State.WAITING


# -- a zombie and its successor ----------------------------------------------------------------


def zombie_and_successor(world: World) -> tuple[Claim, Claim, int]:
    """Return two claims on one process, of which the first has been lost, and a child."""
    pids = world.publish({"a": [], "b": [], "child": ["a", "b"]})
    zombie = world.claim(pids["a"])
    world.expire(pids["a"])
    world.reap()
    return zombie, world.claim(pids["a"]), pids["child"]


def test_the_zombie_of_a_lost_lease_commits_nothing(world: World) -> None:
    zombie, successor, child = zombie_and_successor(world)
    with pytest.raises(LostClaimError):
        overlap(world.database, ending(successor), ending(zombie))
    assert world.products() == [successor.process_id]
    assert world.row(child).pending == 1


def test_without_the_fence_the_zombie_would_win(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    zombie, successor, _ = zombie_and_successor(world)
    success_without_a_fence(monkeypatch)
    with pytest.raises(LostClaimError):
        overlap(world.database, ending(zombie), ending(successor))
    with world.database.read() as connection:
        assert connection.scalars(select(PRODUCT.c.attempt)).all() == [zombie.attempt]
