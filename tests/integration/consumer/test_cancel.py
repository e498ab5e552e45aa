"""Cancelling what runs: delivered by the heartbeat, within a quarter of the lease."""

import threading
import time
from pathlib import Path

from tests.integration.consumer.yard import Yard, beside, until, work

from tianyu.consumer.leases import BEATS_PER_LEASE
from tianyu.schema.states import State
from tianyu.schema.transitions import operator

LEASE_S = 4.0


def cancel(yard: Yard, pid: int) -> tuple[int, int]:
    """Cancel one process, as a person would."""
    with yard.database.write() as connection:
        return operator.cancel(connection, [pid])


def test_a_running_process_is_stopped_within_a_beat(yard: Yard, tmp_path: Path) -> None:
    yard.set_lease(LEASE_S)
    # However long one child starts after the other, both run at one time.
    over = tmp_path / "over"
    other = work("wait_for_file", path=str(over))
    pids = yard.publish(long=work("sleep", seconds=60.0), other=other)
    with yard.consumer(processes=2):
        until(lambda: yard.states(pids.values()) == [State.RUNNING] * 2)
        assert cancel(yard, pids["long"]) == (0, 1)
        waited_s = until(lambda: yard.state(pids["long"]) is State.CANCELLED)
        over.touch()
        until(lambda: yard.state(pids["other"]) is State.SUCCEEDED)
    # A beat, and a second for a busy machine.
    assert waited_s < LEASE_S / BEATS_PER_LEASE + 1.0
    row = yard.row(pids["long"])
    assert (row.failures, row.claim_token, row.lease_until) == (0, None, None)
    assert row.finished_us is not None
    assert yard.outcomes(pids["long"]) == ["cancelled"]
    assert yard.outcomes(pids["other"]) == ["succeeded"]
    assert [pid for pid, _ in yard.products()] == [pids["other"]]


def test_a_completion_that_commits_first_wins(yard: Yard) -> None:
    # With leases of a minute no beat comes in time.
    pids = yard.publish(short=work("sleep", seconds=0.5))
    with yard.consumer():
        until(lambda: yard.state(pids["short"]) is State.RUNNING)
        cancel(yard, pids["short"])
        until(lambda: yard.state(pids["short"]) is not State.RUNNING)
    assert yard.outcomes(pids["short"]) == ["succeeded"]


def test_leases_are_extended_while_a_step_runs(yard: Yard) -> None:
    yard.set_lease(1.2)
    pids = yard.publish(long=work("sleep", seconds=2.0))
    shortest_us = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            row = yard.row(pids["long"])
            if row.state == State.RUNNING.value:
                shortest_us.append(row.lease_until - time.time_ns() // 1000)
            time.sleep(0.05)

    with beside(watch, stop.set):
        yard.work_off()
    assert yard.outcomes(pids["long"]) == ["succeeded"]
    assert min(shortest_us) > 0
