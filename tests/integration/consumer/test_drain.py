"""Stopping a consumer in good order, with signals, from outside."""

import signal

from tests.integration.consumer.program import gone, program, until_running
from tests.integration.consumer.yard import Yard, until, work

from tianyu.schema.states import State


def test_sigterm_lets_finish_what_runs_and_begins_nothing_new(yard: Yard) -> None:
    pids = yard.publish(running=work("sleep", seconds=2.0), waiting=work("noop"))
    with program(yard) as consumer:
        until_running(yard, pids["running"])
        consumer.signal(signal.SIGTERM)
        assert consumer.wait() == 0
    assert yard.outcomes(pids["running"]) == ["succeeded"]
    assert yard.state(pids["waiting"]) is State.READY
    assert yard.row(pids["waiting"]).attempt == 0
    (worker,) = yard.workers()
    assert worker.stopped_us is not None


def test_a_second_sigterm_gives_the_work_back(yard: Yard) -> None:
    pids = yard.publish(one=work("sleep", seconds=60.0), two=work("sleep", seconds=60.0))
    with program(yard, processes=2) as consumer:
        for pid in pids.values():
            until_running(yard, pid)
        children = consumer.children()
        assert len(children) == 2
        # Ctrl-C in a terminal is for the consumer, not for them.
        children[0].send_signal(signal.SIGINT)
        assert consumer.give_up() == 0
    for pid in pids.values():
        row = yard.row(pid)
        assert (row.state, row.attempt, row.failures, row.lease_losses) == ("ready", 1, 0, 0)
        assert row.not_before <= row.started_us + 60e6
        assert yard.outcomes(pid) == ["released"]
    until(lambda: gone(children))
