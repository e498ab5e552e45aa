"""How attempts end: the log of them, budgets, pauses, texts; cancel and rescue."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.integration.engine.world import BUDGET, World

from tianyu.schema.dialects import now_us
from tianyu.schema.states import ErrorKind, Outcome, State
from tianyu.schema.transitions import finish, operator
from tianyu.schema.transitions.finish import (
    ERROR_TEXT_BYTES,
    Failure,
    Usage,
    backoff_s,
    has_succeeded,
)


def test_the_log_keeps_what_an_attempt_cost(world: World) -> None:
    claimed = world.claim(world.publish({"a": []})["a"])
    usage = Usage(cpu_s=1.5, peak_memory_bytes=2**33, bytes_read=10, bytes_written=20)
    with world.database.write() as connection:
        assert finish.succeed(connection, claimed.process_id, claimed.token, usage) == 0
    (attempt,) = world.attempts(claimed.process_id)
    assert (attempt.cpu_s, attempt.peak_memory_bytes) == (1.5, 2**33)
    assert (attempt.bytes_read, attempt.bytes_written) == (10, 20)
    assert (attempt.number, attempt.outcome) == (1, Outcome.SUCCEEDED)
    assert (attempt.worker_id, attempt.claim_token) == ("worker", claimed.token)
    assert attempt.started_us <= attempt.finished_us


def test_a_success_lets_each_child_go_that_waits_for_nothing_else(world: World) -> None:
    pids = world.publish({"a": [], "b": [], "of a": ["a"], "of both": ["a", "b"]})
    claimed = world.claim(pids["a"])
    with world.database.write() as connection:
        assert finish.succeed(connection, pids["a"], claimed.token, Usage()) == 2
    assert world.states([pids["of a"], pids["of both"]]) == [State.READY, State.WAITING]
    world.finish(pids["b"])
    assert world.state(pids["of both"]) is State.READY


def test_a_success_whose_commit_was_not_answered_is_found_by_its_token(world: World) -> None:
    claimed = world.claim(world.publish({"a": []})["a"])
    with world.database.read() as connection:
        assert not has_succeeded(connection, claimed.process_id, claimed.token)
    world.succeed(claimed)
    with world.database.read() as connection:
        assert has_succeeded(connection, claimed.process_id, claimed.token)
        assert not has_succeeded(connection, claimed.process_id, "another token")


# -- failures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ErrorKind.TRANSIENT, ErrorKind.UNEXPECTED])
def test_a_failure_is_tried_again_until_the_budget_is_spent(world: World, kind: ErrorKind) -> None:
    pid = world.publish({"a": []})["a"]
    ends = []
    for _ in range(BUDGET):
        ends.append(world.fail(world.claim(pid), kind, "disk on fire"))
        world.make_due(pid)
    assert ends == [State.READY, State.READY, State.FAILED]
    row = world.row(pid)
    assert (row.failures, row.attempt, row.lease_losses) == (3, 3, 0)
    assert (row.error_kind, row.error_text) == (kind, "disk on fire")
    log = [(a.number, a.outcome, a.error_text) for a in world.attempts(pid)]
    assert log == [(n, Outcome.FAILED, "disk on fire") for n in (1, 2, 3)]


def test_a_permanent_failure_is_never_tried_again(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    assert world.fail(world.claim(pid), ErrorKind.PERMANENT) is State.FAILED
    assert world.row(pid).finished_us is not None


def test_a_later_success_clears_the_error(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    world.fail(world.claim(pid), ErrorKind.TRANSIENT, "away")
    world.make_due(pid)
    world.finish(pid)
    row = world.row(pid)
    assert (row.state, row.error_kind, row.error_text) == (State.SUCCEEDED, None, None)


@pytest.mark.parametrize(
    ("failures", "pause_s"), [(1, 2), (2, 4), (5, 32), (12, 3600), (9999, 3600)]
)
def test_the_pause_doubles_up_to_an_hour(failures: int, pause_s: float) -> None:
    pauses = [backoff_s(failures) for _ in range(200)]
    assert 0.9 * pause_s <= min(pauses) < pause_s < max(pauses) <= 1.1 * pause_s


def test_the_pause_stands_in_the_row(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    before = world.row(pid).created_us
    world.fail(world.claim(pid), ErrorKind.TRANSIENT)
    with world.database.read() as connection:
        now = connection.scalar(now_us().select())
    pause_us = world.row(pid).not_before - now
    assert 1.8e6 - (now - before) <= pause_us <= 2.2e6


@pytest.mark.parametrize(
    "text",
    [
        "short",
        "x" * 100_000,
        "ä" * 100_000,
        "ab\udcff not a character: a byte of a file's name",
    ],
    ids=["short", "long", "two bytes each", "surrogate"],
)
def test_any_text_of_an_error_fits_the_row(world: World, text: str) -> None:
    pid = world.publish({"a": []})["a"]
    world.fail(world.claim(pid), ErrorKind.PERMANENT, text)
    stored = world.row(pid).error_text
    assert 5 <= len(stored.encode()) <= ERROR_TEXT_BYTES
    assert stored[:2] == text[:2]
    assert stored[-2:] == text[-2:]


@given(st.text())
def test_a_text_that_fits_is_kept_as_it_is(text: str) -> None:
    assert finish._clipped(text) == text


@given(st.text(min_size=1), st.integers(1, 5))
def test_a_clipped_text_is_within_the_limit(text: str, more: int) -> None:
    long = text * (ERROR_TEXT_BYTES // len(text.encode()) + more)
    clipped = finish._clipped(long).encode()
    assert len(clipped) <= ERROR_TEXT_BYTES
    assert len(clipped) >= min(len(long.encode()), ERROR_TEXT_BYTES - 64)


def test_giving_back_costs_no_budget(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    claimed = world.claim(pid)
    with world.database.write() as connection:
        state = finish.release(connection, pid, claimed.token, Usage(), pause_s=60.0)
    row = world.row(pid)
    assert (state, row.failures, row.lease_losses) == (State.READY, 0, 0)
    assert [a.outcome for a in world.attempts(pid)] == [Outcome.RELEASED]
    assert world.dispatch() == []


# -- cancel ------------------------------------------------------------------------------------


def test_cancel_counts_what_it_stopped_and_what_it_asked_to_stop(world: World) -> None:
    pids = world.publish({"ready": [], "running": [], "waiting": ["ready"], "done": []})
    world.claim(pids["running"])
    world.finish(pids["done"])
    assert world.cancel(*pids.values(), 999) == (2, 1)
    expected = [State.CANCELLED, State.RUNNING, State.CANCELLED, State.SUCCEEDED]
    assert world.states(pids.values()) == expected
    assert world.row(pids["ready"]).error_text == "cancelled by hand"
    assert world.row(pids["running"]).cancel_requested


def test_a_completion_that_commits_first_wins_over_cancelling(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    claimed = world.claim(pid)
    world.cancel(pid)
    world.succeed(claimed)
    assert world.state(pid) is State.SUCCEEDED


@pytest.mark.parametrize("way", ["fail", "release"])
def test_the_wish_to_cancel_outlives_an_attempt_that_ends_otherwise(world: World, way: str) -> None:
    pid = world.publish({"a": []})["a"]
    claimed = world.claim(pid)
    world.cancel(pid)
    with world.database.write() as connection:
        if way == "fail":
            failure = Failure(ErrorKind.TRANSIENT, "away")
            state = finish.fail(connection, pid, claimed.token, failure, Usage(), budget=BUDGET)
        else:
            state = finish.release(connection, pid, claimed.token, Usage())
    assert state is State.CANCELLED
    assert world.state(pid) is State.CANCELLED
    assert world.row(pid).finished_us is not None


# -- rescue ------------------------------------------------------------------------------------


def test_a_rescue_gives_new_budgets_but_no_new_count_of_attempts(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    world.claim(pid)
    world.expire(pid)
    world.reap()
    world.fail(world.claim(pid), ErrorKind.TRANSIENT)
    world.make_due(pid)
    world.break_(pid)
    assert world.rescue(pid) == 1
    row = world.row(pid)
    assert (row.failures, row.lease_losses, row.not_before, row.attempt) == (0, 0, 0, 3)
    assert (row.error_kind, row.error_text, row.finished_us) == (None, None, None)
    world.finish(pid)
    assert [a.number for a in world.attempts(pid)] == [1, 2, 3, 4]


def test_what_succeeded_is_never_repeated(world: World) -> None:
    pids = world.publish({"a": [], "b": ["a"], "c": ["b"]})
    world.finish(pids["a"])
    world.break_(pids["b"])
    world.reconcile()
    assert world.rescue(*pids.values()) == 1
    world.reconcile()
    assert world.states(pids.values()) == [State.SUCCEEDED, State.READY, State.WAITING]
    world.finish(pids["b"], pids["c"])
    assert world.products() == list(pids.values())


def test_a_rescued_process_forgets_that_it_was_to_be_cancelled(world: World) -> None:
    pid = world.publish({"a": []})["a"]
    claimed = world.claim(pid)
    world.cancel(pid)
    with world.database.write() as connection:
        finish.cancel_running(connection, pid, claimed.token, Usage())
    world.rescue(pid)
    assert not world.row(pid).cancel_requested
    world.claim(pid)
    world.expire(pid)
    assert [r.state for r in world.reap()] == [State.READY]


def test_the_processes_of_a_run_by_their_states(world: World) -> None:
    pids = world.publish({"a": [], "b": ["a"]})
    world.publish({"other": []})
    run_id = world.row(pids["a"]).run_id
    with world.database.read() as connection:
        assert operator.processes_of_run(connection, run_id) == list(pids.values())
        ready = operator.processes_of_run(connection, run_id, [State.READY])
    assert ready == [pids["a"]]
