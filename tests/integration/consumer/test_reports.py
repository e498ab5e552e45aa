"""Ends that are rare: children that die at the worst moment, or cannot start at all."""

import sys
from pathlib import Path

import pytest
from tests.integration.consumer.test_vanished import claim, executor
from tests.integration.consumer.yard import Yard, work

from tianyu.consumer import children
from tianyu.consumer.children import Died, Stop, Stopped
from tianyu.consumer.lastwords import take_last_words
from tianyu.consumer.messages import Succeeded
from tianyu.consumer.pool import ChildStartError, Ended
from tianyu.consumer.reports import Reporter
from tianyu.schema.states import State


def reporter(yard: Yard) -> Reporter:
    """Return a reporter as a consumer has it."""
    consumer = yard.new_consumer()
    consumer._join_site()
    return consumer._reporter


@pytest.mark.parametrize("stopped", [None, Stopped(Stop.CLAIM_LOST, "lost")])
def test_a_child_that_died_between_its_commit_and_its_report_did_succeed(
    yard: Yard, stopped: Stopped | None
) -> None:
    pids = yard.publish(done=work("noop"), next=work("noop", "done"))
    first = claim(yard, "w")
    report = executor(yard).execute(first)
    assert isinstance(report, Succeeded)
    assert report.next is not None
    reporter(yard).record(Ended(first, Died(-9), stopped))
    assert yard.outcomes(pids["done"]) == ["succeeded"]
    # What it had claimed in the same transaction is not left to its lease.
    assert yard.state(pids["next"]) is State.READY
    assert yard.outcomes(pids["next"]) == ["released"]
    assert yard.row(pids["next"]).failures == 0


def test_a_child_that_was_dead_before_it_began_costs_nothing(yard: Yard) -> None:
    (pid,) = yard.publish(one=work("noop")).values()
    reporter(yard).record(Ended(claim(yard, "w"), None))
    assert (yard.state(pid), yard.outcomes(pid)) == (State.READY, ["released"])


def test_a_process_that_was_stopped_with_its_child_had_no_part_in_it(yard: Yard) -> None:
    (pid,) = yard.publish(one=work("noop")).values()
    stopped = Stopped(Stop.NO_FAULT, "stopped with its child")
    reporter(yard).record(Ended(claim(yard, "w"), Died(-15), stopped))
    assert yard.outcomes(pid) == ["released"]


@pytest.mark.parametrize("stopped", [None, Stopped(Stop.CANCELLED, "cancelled by hand")])
def test_a_success_stands_whatever_was_asked_meanwhile(yard: Yard, stopped: Stopped | None) -> None:
    (pid,) = yard.publish(one=work("noop")).values()
    first = claim(yard, "w")
    report = executor(yard).execute(first)
    assert isinstance(report, Succeeded)
    reporter(yard).record(Ended(first, report, stopped))
    assert yard.outcomes(pid) == ["succeeded"]


def test_children_that_cannot_start_end_the_consumer_and_blame_no_process(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pid,) = yard.publish(one=work("noop")).values()
    monkeypatch.setattr(children, "child_main", sys.exit)
    with pytest.raises(ChildStartError, match="3 child processes in a row ended"):
        yard.work_off()
    assert (yard.state(pid), yard.row(pid).attempt) == (State.READY, 0)
    (worker,) = yard.workers()
    assert worker.stopped_us is not None


@pytest.mark.parametrize(
    ("died", "text"),
    [
        (
            Died(7),
            (
                "its child process ended by itself with exit code 7; a library that it uses has "
                "ended it; try it by hand with the same parameters"
            ),
        ),
        (
            Died(-9),
            (
                "its child process was killed by signal 9 (SIGKILL); most likely the system was "
                "out of memory (see its kernel log): run fewer processes at a time, or set "
                "memory_limit_bytes"
            ),
        ),
        (
            Died(-11, "Fatal Python error"),
            (
                "its child process was killed by signal 11 (SIGSEGV); compiled code crashed; "
                "update the library below, or report it with this text; it was at\n"
                "Fatal Python error"
            ),
        ),
    ],
)
def test_a_death_is_told_in_words_with_what_to_do(died: Died, text: str) -> None:
    assert str(died) == text


def test_a_signal_without_a_name_has_its_number() -> None:
    assert Died(-200).event == "its child process was killed by signal 200"


def test_last_words_are_read_once_and_need_not_be_there(tmp_path: Path) -> None:
    path = tmp_path / "words"
    path.write_bytes(b"Fatal \xff error\n")
    assert take_last_words(path) == "Fatal \ufffd error"
    assert take_last_words(path) == ""
