"""The manager: whom it takes processes from, and when; what blocks and comes back."""

import logging
import platform
from dataclasses import dataclass

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from tests.integration.consumer.yard import Yard, beside, until, work

from tianyu.manager import reaper
from tianyu.manager.manager import Manager
from tianyu.schema.database import Database
from tianyu.schema.states import State
from tianyu.schema.tables import Process, Worker
from tianyu.schema.transitions import operator
from tianyu.schema.transitions.claim import claim_next

LEASE_S = 60.0
POLL_S = 10.0


@dataclass
class Clock:
    """A clock that goes when told to."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Night:
    """A manager with a clock of its own, and one process whose worker has vanished."""

    yard: Yard
    clock: Clock
    manager: Manager
    pid: int

    def polls(self, n: int, every_s: float = POLL_S) -> None:
        """Let time pass and the manager poll, n times."""
        for _ in range(n):
            self.clock.now_s += every_s
            self.manager.poll()

    @property
    def is_taken_back(self) -> bool:
        """Whether the process was taken back."""
        return self.yard.state(self.pid) is State.READY


@pytest.fixture
def night(yard: Yard) -> Night:
    """The lease of the process has run out before the manager starts."""
    clock = Clock()
    manager = yard.manager(clock=clock)
    (pid,) = yard.publish(lost=work("noop")).values()
    with yard.database.write() as connection:
        assert claim_next(connection, [yard.queue_id], "worker", 60.0) is not None
    yard.expire(pid)
    manager.poll()
    return Night(yard, clock, manager, pid)


def test_nothing_is_taken_back_before_one_lease_of_successful_polls(night: Night) -> None:
    night.polls(5)
    assert not night.is_taken_back
    night.polls(1)  # 60 s after the first one
    assert night.is_taken_back
    assert night.yard.outcomes(night.pid) == ["lease_lost"]


def test_after_a_stall_it_begins_to_count_anew(night: Night) -> None:
    night.polls(5)
    night.polls(1, every_s=31.0)  # silent for more than half a lease
    night.polls(5)
    assert not night.is_taken_back
    night.polls(1)
    assert night.is_taken_back


def test_an_error_of_the_database_is_a_stall(night: Night, monkeypatch: pytest.MonkeyPatch) -> None:
    night.polls(5)
    night.manager._reaper.distrust()  # what run() does with such an error
    night.polls(6)
    assert not night.is_taken_back
    night.polls(1)
    assert night.is_taken_back


def test_the_shortest_lease_says_what_a_stall_is(night: Night) -> None:
    # Thirty seconds of silence are nothing to leases of a minute, but the end of one of 20 s.
    for silent_s, short_s, expected in ((25.0, 60.0, True), (25.0, 20.0, False)):
        fresh = night.yard.manager(clock=night.clock)._reaper
        leases_s = [short_s, 60.0]
        taken = []
        night.yard.expire(night.pid)
        for _ in range(10):
            night.clock.now_s += silent_s
            taken += fresh.poll(leases_s)
        assert bool(taken) is expected
        with night.yard.database.write() as connection:
            claim_next(connection, [night.yard.queue_id], "worker", 60.0)


def test_what_waited_too_long_in_the_reaping_itself_is_rolled_back(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = reaper.reap

    def slow(*args: object, **kwargs: object) -> object:
        night.clock.now_s += 40.0
        return real(*args, **kwargs)  # type: ignore[arg-type]

    night.polls(5)
    monkeypatch.setattr(reaper, "reap", slow)
    night.polls(1)
    assert not night.is_taken_back
    assert night.yard.outcomes(night.pid) == []
    monkeypatch.undo()
    night.polls(7)
    assert night.is_taken_back


def test_lease_losses_have_a_budget_of_their_own(yard: Yard) -> None:
    clock = Clock()
    manager = yard.manager(clock=clock, config={"lease_loss_budget": 2})
    pids = yard.publish(often=work("noop"), once=work("noop", repeatable=False))
    for _ in range(2):
        with yard.database.write() as connection:
            while claim_next(connection, [yard.queue_id], "worker", 60.0):
                pass
        for pid in pids.values():
            if yard.state(pid) is State.RUNNING:
                yard.expire(pid)
        for _ in range(8):
            clock.now_s += POLL_S
            manager.poll()
    assert yard.states(pids.values()) == [State.FAILED] * 2
    row = yard.row(pids["often"])
    assert (row.lease_losses, row.failures, row.error_kind) == (2, 0, "lease_lost")
    assert yard.row(pids["once"]).lease_losses == 1
    assert "must not be repeated" in yard.row(pids["once"]).error_text


def test_the_record_of_a_takeover_says_from_whom(
    night: Night, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        night.polls(6)
    (record,) = [r for r in caplog.records if r.name.startswith("tianyu.manager")]
    row = night.yard.row(night.pid)
    assert record.getMessage() == "took back noop from a vanished worker, now ready"
    assert vars(record).items() >= {
        "action": "reap", "run_id": row.run_id, "process_id": night.pid, "attempt": 1,
        "worker_id": "worker", "site": "hill", "group": "cpu",
    }.items()  # fmt: skip


def test_a_worker_of_another_host_is_left_to_its_lease(yard: Yard) -> None:
    (pid,) = yard.publish(far=work("noop")).values()
    consumer = yard.new_consumer()
    place = consumer._join_site().place
    with yard.database.write() as connection:
        assert claim_next(connection, place.queue_ids, place.worker_id, 60.0) is not None
        # A number that no process has, on a machine that is not this one.
        connection.execute(update(Worker).values(host="elsewhere", os_pid=2**22 + 1))
    assert yard.manager().reap_dead_local_workers() == []
    with yard.database.write() as connection:
        connection.execute(update(Worker).values(host=_this_host()))
    assert [p.process_id for p in yard.manager().reap_dead_local_workers()] == [pid]


def test_a_later_process_of_the_same_number_is_somebody_else(yard: Yard) -> None:
    (pid,) = yard.publish(old=work("noop")).values()
    place = yard.new_consumer()._join_site().place
    with yard.database.write() as connection:
        claim_next(connection, place.queue_ids, place.worker_id, 60.0)
    # Our own number, which lives; but its owner said that it started long before us.
    assert yard.manager().reap_dead_local_workers() == []
    with yard.database.write() as connection:
        connection.execute(update(Worker).values(started_us=1))
    assert [p.process_id for p in yard.manager().reap_dead_local_workers()] == [pid]


def test_every_process_of_a_dead_worker_is_taken_back(yard: Yard) -> None:
    pids = yard.publish(**{f"p{i}": work("noop") for i in range(150)})
    place = yard.new_consumer()._join_site().place
    with yard.database.write() as connection:
        while claim_next(connection, place.queue_ids, place.worker_id, 60.0):
            pass
        connection.execute(update(Worker).values(started_us=1))
    taken = yard.manager().reap_dead_local_workers()
    assert sorted(process.process_id for process in taken) == sorted(pids.values())


# -- blocking ---------------------------------------------------------------------------------


def test_blocking_reaches_the_leaves_and_comes_back_after_a_rescue(yard: Yard) -> None:
    pids = yard.publish(
        bad=work("fail_permanent"), good=work("noop"),
        child=work("noop", "bad", "good"), grandchild=work("noop", "child"),
        leaf=work("noop", "grandchild"),
    )  # fmt: skip
    below = [pids[name] for name in ("child", "grandchild", "leaf")]
    manager = yard.manager()
    with beside(manager.run, manager.stop):
        yard.work_off()
        until(lambda: yard.states(below) == [State.BLOCKED] * 3)
        with yard.database.write() as connection:
            # What it needed is there now.
            connection.execute(
                update(Process).where(Process.id == pids["bad"]).values(command="noop")
            )
            assert operator.rescue(connection, [pids["bad"]]) == 1
        until(lambda: yard.states(below) == [State.WAITING] * 3)
        yard.work_off()
        assert yard.states(pids.values()) == [State.SUCCEEDED] * 5
    assert yard.outcomes(pids["bad"]) == ["failed", "succeeded"]
    assert yard.outcomes(pids["good"]) == ["succeeded"]


def test_two_managers_do_no_harm_to_each_other(yard: Yard) -> None:
    yard.set_lease(1.0)
    graph = {}
    for i in range(40):
        graph[f"bad{i}"] = work("noop")
        graph[f"child{i}"] = work("noop", f"bad{i}")
        graph[f"leaf{i}"] = work("noop", f"child{i}", *([f"child{i - 1}"] if i else []))
    pids = yard.publish(**graph)
    managers = [yard.manager() for _ in range(2)]
    with (
        beside(managers[0].run, managers[0].stop),
        beside(managers[1].run, managers[1].stop),
    ):
        bad = [pid for name, pid in pids.items() if name.startswith("bad")]
        below = [pid for name, pid in pids.items() if not name.startswith("bad")]
        for _ in range(3):
            with yard.database.write() as connection:
                operator.cancel(connection, bad)
            until(lambda: set(yard.states(below)) == {State.BLOCKED})
            with yard.database.write() as connection:
                operator.rescue(connection, bad)
            until(lambda: set(yard.states(below)) == {State.WAITING})
    counts = [(yard.row(pid).bad_parents, yard.row(pid).pending) for pid in below]
    assert {bad for bad, _ in counts} == {0}
    assert {pending for _, pending in counts} == {1, 2}


def test_a_manager_waits_out_a_database_that_is_away(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    manager = yard.manager()
    real = Database.retry
    failures = 3

    def away(database: Database, work: object) -> object:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise OperationalError("SELECT", {}, Exception("server has gone away"))
        return real(database, work)  # type: ignore[arg-type]

    monkeypatch.setattr(Database, "retry", away)
    (pid,) = yard.publish(one=work("noop")).values()
    with beside(manager.run, manager.stop):
        until(lambda: failures < -1)
    assert caplog.text.count("the database is away, trying again") == 3
    assert yard.state(pid) is State.READY


def _this_host() -> str:
    return platform.node()
