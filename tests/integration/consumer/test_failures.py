"""Steps that fail, crash or hang: what is written down, and that the others go on."""

import os
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import Row
from tests.integration.consumer.yard import LEASE_S, Yard, until, work

from tianyu.consumer import children
from tianyu.schema.states import ErrorKind, State
from tianyu.schema.transitions import finish

PAUSE_S = 600.0
AGAIN = ("fail_transient", "crash")
KINDS = (*AGAIN, "fail_permanent", "fail_unexpected", "segfault", "kill_self", "never_return")

Failures = tuple[Yard, dict[str, int], dict[str, Row[Any]]]


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Failures:
    """Every kind of failure once, and some of them again until their budget is used up."""
    with Yard.at(tmp_path_factory.mktemp("yard")) as yard, pytest.MonkeyPatch.context() as patch:
        # Long, so that none comes back by itself while the others are still at it.
        patch.setattr(finish, "backoff_s", lambda failures: PAUSE_S * failures)
        pids = yard.publish(
            **{kind: work(kind) for kind in KINDS},
            bad_values=work("sleep", seconds="long", minutes=1),
            fine=work("noop"),
        )
        yard.work_off(processes=2, failure_budget=2)
        first = {name: yard.row(pid) for name, pid in pids.items()}
        for name in AGAIN:
            yard.make_due(pids[name])
        yard.work_off(failure_budget=2)
        return yard, pids, first


def test_a_permanent_failure_is_not_tried_again(failed: Failures) -> None:
    yard, pids, _ = failed
    row = yard.row(pids["fail_permanent"])
    assert (row.state, row.attempt, row.failures) == (State.FAILED.value, 1, 1)
    assert row.error_kind == ErrorKind.PERMANENT.value
    # What to do about it, and no traceback, which would say nothing more.
    assert row.error_text == "UnusableDataError: all 12 frames are saturated; expose shorter"
    assert row.finished_us is not None


def test_parameters_that_do_not_fit_fail_at_once(failed: Failures) -> None:
    yard, pids, _ = failed
    row = yard.row(pids["bad_values"])
    assert (row.state, row.attempt) == (State.FAILED.value, 1)
    assert row.error_kind == ErrorKind.PERMANENT.value
    assert "the parameters of step sleep are not valid: seconds = 'long': " in row.error_text
    assert "minutes = 1: Extra inputs are not permitted" in row.error_text


@pytest.mark.parametrize(
    ("name", "kind", "texts"),
    [
        ("fail_transient", "transient", ["TransientError: the tape robot is busy"]),
        ("fail_unexpected", "unexpected", ["Traceback", "in fail_unexpected", "KeyError: 2"]),
        (
            "crash",
            "unexpected",
            ["its child process ended by itself with exit code 7", "try it by hand"],
        ),
        (
            "segfault",
            "unexpected",
            ["signal 11 (SIGSEGV)", "compiled code crashed", "in string_at", "in segfault"],
        ),
        (
            "kill_self",
            "unexpected",
            ["its child process was killed by signal 9 (SIGKILL)", "run fewer processes"],
        ),
        (
            "never_return",
            "unexpected",
            ["time limit of its step, 1.5 s", "a longer time_limit_s", "in never_return"],
        ),
    ],
)
class TestWhatMayPass:
    """Failures that repeating may mend."""

    def test_it_is_tried_again_after_a_pause(
        self, failed: Failures, name: str, kind: str, texts: list[str]
    ) -> None:
        del texts
        row = failed[2][name]
        assert (row.state, row.attempt, row.failures) == (State.READY.value, 1, 1)
        assert (row.error_kind, row.claim_token, row.lease_until) == (kind, None, None)
        assert PAUSE_S <= (row.not_before - row.started_us) / 1e6 < PAUSE_S + LEASE_S

    def test_the_row_and_the_attempt_keep_the_reason(
        self, failed: Failures, name: str, kind: str, texts: list[str]
    ) -> None:
        yard, pids, first = failed
        attempt = yard.attempts(pids[name])[0]
        assert (attempt.number, attempt.outcome, attempt.error_kind) == (1, "failed", kind)
        assert attempt.error_text == first[name].error_text
        assert [text for text in texts if text not in attempt.error_text] == []

    def test_it_is_seen_at_once_and_not_by_the_lease(
        self, failed: Failures, name: str, kind: str, texts: list[str]
    ) -> None:
        del kind, texts
        yard, pids, _ = failed
        for attempt in yard.attempts(pids[name]):
            assert (attempt.finished_us - attempt.started_us) / 1e6 < LEASE_S / 4

    def test_nothing_of_it_is_committed(
        self, failed: Failures, name: str, kind: str, texts: list[str]
    ) -> None:
        del kind, texts
        yard, pids, _ = failed
        assert pids[name] not in [pid for pid, _ in yard.products()]


@pytest.mark.parametrize("name", AGAIN)
def test_it_fails_for_good_when_the_budget_is_used_up(failed: Failures, name: str) -> None:
    yard, pids, _ = failed
    row = yard.row(pids[name])
    assert (row.state, row.attempt, row.failures) == (State.FAILED.value, 2, 2)
    assert [(a.number, a.outcome) for a in yard.attempts(pids[name])] == [
        (1, "failed"),
        (2, "failed"),
    ]


def test_a_failure_has_a_cost_too(failed: Failures) -> None:
    yard, pids, _ = failed
    attempt = yard.attempts(pids["fail_unexpected"])[0]
    assert attempt.cpu_s >= 0.0
    assert attempt.peak_memory_bytes > 2e7


def test_others_are_not_disturbed(failed: Failures) -> None:
    yard, pids, _ = failed
    assert yard.outcomes(pids["fine"]) == ["succeeded"]


def test_an_unknown_step_fails_at_once_and_says_which_there_are(yard: Yard) -> None:
    pids = yard.publish(strange=work("no_such_step"))
    yard.work_off()
    row = yard.row(pids["strange"])
    assert (row.state, row.error_kind) == (State.FAILED.value, ErrorKind.PERMANENT.value)
    assert "there is no step 'no_such_step'; known steps: " in row.error_text
    assert ", calibrate_align, " in row.error_text


def test_a_child_that_holds_too_much_is_stopped(yard: Yard) -> None:
    pids = yard.publish(big=work("leak", megabytes=600))
    yard.work_off(failure_budget=1, memory_limit_bytes=400_000_000)
    row, attempt = yard.row(pids["big"]), yard.attempt(pids["big"])
    assert (row.state, row.error_kind) == (State.FAILED.value, ErrorKind.UNEXPECTED.value)
    assert "it exceeded the memory limit: " in row.error_text
    assert " of 400 MB" in row.error_text
    assert 4e8 < attempt.peak_memory_bytes < 1e9


def test_what_a_step_leaves_behind_is_not_charged_to_the_next(yard: Yard) -> None:
    # Each fits under the limit; together they would not.
    pids = yard.publish(first=work("leak", megabytes=250), then=work("leak", megabytes=250))
    yard.work_off(failure_budget=1, memory_limit_bytes=500_000_000)
    assert [yard.outcomes(pid) for pid in pids.values()] == [["succeeded"]] * 2


def test_sigkill_follows_when_sigterm_is_not_heard(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "TERMINATE_GRACE_S", 0.5)
    pids = yard.publish(stubborn=work("stubborn", path=str(tmp_path / "pid")))
    yard.work_off(failure_budget=1)
    assert "time limit" in yard.row(pids["stubborn"]).error_text
    assert "signal 9 (SIGKILL)" in yard.row(pids["stubborn"]).error_text
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("command", ["hang_with_subprocess", "crash_with_fork"])
def test_subprocesses_of_a_step_end_with_it(yard: Yard, tmp_path: Path, command: str) -> None:
    note = tmp_path / "pid"
    pids = yard.publish(parent=work(command, path=str(note)))
    yard.work_off(failure_budget=1)
    assert yard.state(pids["parent"]) is State.FAILED
    until(lambda: not _lives(int(note.read_text())))
    attempt = yard.attempt(pids["parent"])
    assert (attempt.finished_us - attempt.started_us) / 1e6 < LEASE_S / 4


def test_a_copy_that_a_step_forked_reports_nothing(yard: Yard, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    pids = yard.publish(
        twice=work("fork_and_return", path=str(note)), then=work("sleep", "twice", seconds=1.0)
    )
    yard.work_off()
    # Had the copy reported, the consumer would have taken it for the end of the other one.
    assert yard.outcomes(pids["then"]) == ["succeeded"]
    attempt = yard.attempt(pids["then"])
    assert attempt.finished_us - attempt.started_us >= 1e6
    assert not _lives(int(note.read_text()))
    assert yard.outcomes(pids["twice"]) == ["succeeded"]


def test_programs_that_a_step_left_running_are_ended(yard: Yard, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    pids = yard.publish(parent=work("leave_program", path=str(note)))
    with yard.consumer():
        until(lambda: yard.state(pids["parent"]) is State.SUCCEEDED)
        until(lambda: not _lives(int(note.read_text())))


def test_what_a_dead_child_cost_is_known(yard: Yard) -> None:
    # The first one spends processor time too, in the same child: it is not charged twice.
    pids = yard.publish(
        before=work("compute", seconds=1.5), dies=work("compute_and_crash", "before", seconds=1.2)
    )
    yard.work_off(failure_budget=1)
    attempt = yard.attempt(pids["dies"])
    assert attempt.outcome == "failed"
    # The system counts in hundredths of a second.
    assert 1.15 <= attempt.cpu_s < 2.0
    assert attempt.peak_memory_bytes > 2e7


def test_a_child_killed_from_outside_costs_one_attempt(yard: Yard) -> None:
    pids = yard.publish(victim=work("sleep", seconds=60.0))
    with yard.consumer(failure_budget=2) as consumer:
        until(lambda: yard.state(pids["victim"]) is State.RUNNING)
        assert consumer._pool is not None
        os.kill(consumer._pool.children[0].process.pid or 0, 9)
        until(lambda: yard.state(pids["victim"]) is State.READY, patience_s=5.0)
    assert yard.outcomes(pids["victim"]) == ["failed"]
    assert "killed by signal 9 (SIGKILL)" in yard.row(pids["victim"]).error_text


def _lives(os_pid: int) -> bool:
    try:
        return psutil.Process(os_pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
