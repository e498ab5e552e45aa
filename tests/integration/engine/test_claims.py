"""Claims: who gets a process, for how long, and what the losers see."""

import pytest
from tests.integration.engine.world import LEASE_S, QUEUE, World

from tianyu.schema.errors import LostClaimError
from tianyu.schema.states import ErrorKind, Outcome, State
from tianyu.schema.transitions.claim import (
    Claim,
    claim_next,
    claim_queued,
    heartbeat,
    new_token,
    read_claim,
)


def claim(world: World, *queues: int) -> Claim | None:
    with world.database.write() as connection:
        return claim_next(connection, queues or (QUEUE,), "worker", LEASE_S)


def beat(world: World, claimed: Claim) -> bool | None:
    with world.database.write() as connection:
        return heartbeat(connection, claimed.process_id, claimed.token, LEASE_S)


def test_a_claim_says_what_to_do(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    claimed = claim(world)
    assert claimed is not None
    row = world.row(pid)
    expected = Claim(pid, row.run_id, "step", {"name": "a"}, 1, row.claim_token)
    assert claimed == expected
    assert row.worker_id == "worker"
    assert row.lease_until - row.started_us == LEASE_S * 1e6


def test_nothing_ready_is_no_claim(world: World) -> None:
    assert claim(world) is None
    world.publish({"a": []}, queue=2)
    assert claim(world, 1) is None


def test_the_most_urgent_of_all_queues_is_claimed_first(world: World) -> None:
    later = world.publish({"a": []}, queue=1, priority=100)["a"]
    sooner = world.publish({"b": []}, queue=2, priority=50)["b"]
    oldest = world.publish({"c": []}, queue=2, priority=100)["c"]
    claims = [claim(world, 1, 2) for _ in range(4)]
    assert [c and c.process_id for c in claims] == [sooner, later, oldest, None]


def test_one_that_must_wait_after_a_failure_does_not_hold_up_the_others(world: World) -> None:
    first, second = world.publish({"a": [], "b": []}).values()
    world.fail(world.claim(first), ErrorKind.TRANSIENT)
    world.age_dispatches()
    claimed = world.claim(second)
    assert claimed.process_id == second


def test_every_claim_has_a_number_and_a_token_of_its_own(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    claims = []
    for _ in range(3):
        claims.append(world.claim(pid))
        world.expire(pid)
        world.reap(budget=99)
    assert [c.attempt for c in claims] == [1, 2, 3]
    assert len({c.token for c in claims}) == 3


def test_a_message_for_a_queue_that_is_not_served_is_not_followed(world: World) -> None:
    pid = world.publish({"a": []}, queue=1)["a"]
    world.dispatch()
    with world.database.write() as connection:
        assert claim_queued(connection, pid, [2, 3], "worker", LEASE_S) is None
        assert claim_queued(connection, pid, [], "worker", LEASE_S) is None
    assert world.state(pid) is State.QUEUED


def test_a_claim_whose_commit_was_not_answered_is_found_by_its_token(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    world.dispatch()
    token = new_token()
    with world.database.write() as connection:
        first = claim_queued(connection, pid, [QUEUE], "worker", LEASE_S, token)
    with world.database.write() as connection:
        again = claim_queued(connection, pid, [QUEUE], "worker", LEASE_S, token)
        other = claim_queued(connection, pid, [QUEUE], "worker", LEASE_S, new_token())
    assert first is not None
    assert again == first
    assert other is None
    with world.database.read() as connection:
        assert read_claim(connection, pid, token) == first


# -- leases ------------------------------------------------------------------------------------


def test_a_heartbeat_extends_the_lease(world: World) -> None:
    claimed = world.claim(world.publish({"a": []})["a"])
    before = world.row(claimed.process_id).lease_until
    world.expire(claimed.process_id)
    assert beat(world, claimed) is False
    assert world.row(claimed.process_id).lease_until >= before
    assert world.reap() == []


def test_a_heartbeat_brings_the_wish_to_cancel(world: World) -> None:
    claimed = world.claim(world.publish({"a": []})["a"])
    world.cancel(claimed.process_id)
    assert beat(world, claimed) is True


def test_a_claim_that_ended_in_success_is_not_lost(world: World) -> None:
    """Its child may be at the next process by now, before its consumer has heard of the end."""
    claimed = world.claim(world.publish({"a": []})["a"])
    world.cancel(claimed.process_id)
    world.succeed(claimed)
    assert beat(world, claimed) is False


def test_a_lost_claim_is_told_so_and_leaves_the_winner_alone(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    zombie = world.claim(pid)
    world.expire(pid)
    world.reap()
    assert beat(world, zombie) is None
    winner = world.claim(pid)
    world.expire(pid)
    assert beat(world, zombie) is None
    assert world.row(pid).lease_until == 1
    assert beat(world, winner) is False


def test_a_zombie_neither_succeeds_nor_leaves_a_product(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    zombie = world.claim(pid)
    world.expire(pid)
    world.reap()
    winner = world.claim(pid)
    with pytest.raises(LostClaimError):
        world.succeed(zombie)
    assert (world.products(), world.state(pid)) == ([], State.RUNNING)
    world.succeed(winner)
    with pytest.raises(LostClaimError):
        world.succeed(zombie)
    assert world.products() == [pid]


def test_only_expired_leases_are_reaped_the_oldest_first(world: World) -> None:
    pids = list(world.publish({name: [] for name in "abcd"}).values())
    for pid in pids:
        world.claim(pid)
    for age, pid in enumerate([pids[2], pids[0], pids[1]], 1):
        world._set([pid], lease_until=age)
    assert [r.process_id for r in world.reap()] == [pids[2], pids[0], pids[1]]
    assert world.state(pids[3]) is State.RUNNING


def test_vanished_workers_have_a_budget_of_their_own(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    ends = []
    for _ in range(3):
        world.claim(pid)
        world.expire(pid)
        ends += [r.state for r in world.reap(budget=3)]
    assert ends == [State.READY, State.READY, State.FAILED]
    row = world.row(pid)
    assert (row.lease_losses, row.failures, row.error_kind) == (3, 0, ErrorKind.LEASE_LOST)
    assert "its worker vanished 3 times; the budget is 3" in row.error_text
    assert row.finished_us is not None
    assert [a.outcome for a in world.attempts(pid)] == [Outcome.LEASE_LOST] * 3


def test_what_goes_on_has_not_finished(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    world.claim(pid)
    world.expire(pid)
    world.reap()
    assert world.row(pid).finished_us is None


def test_a_command_that_must_not_be_repeated_fails_when_its_worker_vanishes(world: World) -> None:
    pid = world.publish({"expose": []}, repeatable=False)["expose"]
    world.claim(pid)
    world.expire(pid)
    assert [r.state for r in world.reap()] == [State.FAILED]
    assert "must not be repeated" in world.row(pid).error_text


def test_a_cancelled_one_whose_worker_vanishes_is_cancelled(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    world.claim(pid)
    world.cancel(pid)
    world.expire(pid)
    assert [r.state for r in world.reap()] == [State.CANCELLED]
