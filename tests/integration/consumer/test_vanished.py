"""Consumers that vanish without a word, and those that come back too late."""

import signal
from pathlib import Path

from sqlalchemy import select
from tests.integration.consumer.program import gone, program, until_running
from tests.integration.consumer.yard import Yard, beside, until, work

from tianyu.consumer.execute import Executor
from tianyu.consumer.messages import ClaimLost, Succeeded, Workplace
from tianyu.schema.states import State
from tianyu.schema.tables import ImageCopy
from tianyu.schema.transitions.claim import Claim, claim_next
from tianyu.schema.transitions.leases import reap

LEASE_S = 1.5


def product_files(yard: Yard) -> dict[str, str]:
    """Return the contents of all product files by name."""
    return {path.name: path.read_text() for path in (yard.folder / "files").rglob("*.txt")}


def stored_paths(yard: Yard) -> list[str]:
    """Return the files that rows name."""
    with yard.database.read() as connection:
        return [Path(path).name for path in connection.scalars(select(ImageCopy.path))]


def test_the_lease_runs_out_and_another_consumer_finishes(yard: Yard) -> None:
    yard.set_lease(LEASE_S)
    pids = yard.publish(long=work("sleep", seconds=1.5), after=work("noop", "long"))
    manager = yard.manager()
    with program(yard) as consumer, beside(manager.run, manager.stop):
        until_running(yard, pids["long"])
        children = consumer.children()
        consumer.signal(signal.SIGKILL)
        consumer.wait()
        # Its children end with it, though nobody told them.
        until(lambda: gone(children))
        assert yard.state(pids["long"]) is State.RUNNING
        with yard.consumer():
            until(lambda: yard.state(pids["after"]) is State.SUCCEEDED)
    assert yard.outcomes(pids["long"]) == ["lease_lost", "succeeded"]
    row = yard.row(pids["long"])
    assert (row.lease_losses, row.failures, row.attempt) == (1, 0, 2)
    assert yard.products() == sorted([(pids["long"], 2), (pids["after"], 1)])


def test_on_one_machine_nobody_waits_for_leases(yard: Yard) -> None:
    pids = yard.publish(long=work("sleep", seconds=60.0), other=work("sleep", seconds=60.0))
    # What somebody alive holds is not touched, however long ago its lease ran out.
    with program(yard) as alive:
        until_running(yard, pids["long"])
        with program(yard) as killed:
            until_running(yard, pids["other"])
            killed.signal(signal.SIGKILL)
            yard.expire(pids["long"])
            # As a zombie, which its parent has not waited for, it is dead enough.
            until(lambda: gone(killed.children()))
            taken = yard.manager().reap_dead_local_workers()
            assert yard.manager().reap_dead_local_workers() == []
        alive.give_up()
    assert [(process.process_id, process.state) for process in taken] == [
        (pids["other"], State.READY)
    ]
    assert yard.outcomes(pids["other"]) == ["lease_lost"]
    assert yard.outcomes(pids["long"]) == ["released"]


def test_a_late_child_of_a_dead_consumer_changes_nothing(yard: Yard) -> None:
    yard.set_lease(LEASE_S)
    (pid,) = yard.publish(file=work("write_file_deaf", seconds=6.0)).values()
    manager = yard.manager()
    with program(yard) as consumer, beside(manager.run, manager.stop):
        until_running(yard, pid)
        (zombie,) = consumer.children()
        consumer.signal(signal.SIGKILL)
        with yard.consumer():
            until(lambda: yard.state(pid) is State.SUCCEEDED)
        # It has not noticed yet that it is alone, and would go on to commit.
        until(lambda: gone([zombie]))
    winner = f"{pid}.2.text.txt"
    assert yard.outcomes(pid) == ["lease_lost", "succeeded"]
    assert yard.products() == [(pid, 2)]
    assert stored_paths(yard) == [winner]
    assert product_files(yard)[winner] == "attempt 2"


def test_a_consumer_that_stood_still_stops_its_work(yard: Yard) -> None:
    yard.set_lease(LEASE_S)
    pids = yard.publish(file=work("sleep", seconds=2.0))
    with program(yard) as consumer:
        until_running(yard, pids["file"])
        consumer.signal(signal.SIGSTOP)
        manager = yard.manager()
        with beside(manager.run, manager.stop), yard.consumer():
            until(lambda: yard.outcomes(pids["file"]) == ["lease_lost"])
            # The child has gone on meanwhile; it comes too late, or is told to stop.
            consumer.signal(signal.SIGCONT)
            until(lambda: yard.state(pids["file"]) is State.SUCCEEDED)
        consumer.signal(signal.SIGTERM)
        assert consumer.wait() == 0
    assert yard.outcomes(pids["file"]) == ["lease_lost", "succeeded"]
    assert len(yard.products()) == 1


def claim(yard: Yard, worker: str) -> Claim:
    """Claim what is ready."""
    with yard.database.write() as connection:
        found = claim_next(connection, [yard.queue_id], worker, 60.0)
    assert found is not None
    return found


def executor(yard: Yard) -> Executor:
    """Run steps in this very process."""
    states = (State.READY,)
    place = Workplace(
        yard.database.text_url, 1, yard.folder / "files", "w", (yard.queue_id,), 60.0, states
    )
    return Executor(yard.database, place, lambda: True)


def test_the_fence_lets_only_the_owner_commit(yard: Yard) -> None:
    (pid,) = yard.publish(file=work("write_file", seconds=0.0)).values()
    early = claim(yard, "early")
    yard.expire(pid)
    with yard.database.write() as connection:
        reap(connection, budget=3)
    late = claim(yard, "late")
    assert isinstance(executor(yard).execute(late), Succeeded)
    assert isinstance(executor(yard).execute(early), ClaimLost)
    assert yard.products() == [(pid, 2)]
    assert stored_paths(yard) == [f"{pid}.2.text.txt"]
    assert product_files(yard) == {
        f"{pid}.1.text.txt": "attempt 1",
        f"{pid}.2.text.txt": "attempt 2",
    }


def test_a_success_claims_what_comes_next_in_the_same_transaction(yard: Yard) -> None:
    pids = yard.publish(first=work("noop"), then=work("noop", "first"))
    report = executor(yard).execute(claim(yard, "w"))
    assert isinstance(report, Succeeded)
    assert report.next is not None
    assert (report.next.process_id, report.next.attempt) == (pids["then"], 1)
    row = yard.row(pids["then"])
    assert (row.state, row.claim_token) == ("running", report.next.token)
    last = executor(yard).execute(report.next)
    assert isinstance(last, Succeeded)
    assert last.next is None


def test_a_success_whose_answer_was_lost_is_still_a_success(yard: Yard) -> None:
    pids = yard.publish(first=work("noop"), then=work("noop", "first"))
    first = claim(yard, "w")
    once = executor(yard).execute(first)
    # The same commit again, as when the connection broke before its answer came.
    again = executor(yard).execute(first)
    assert isinstance(once, Succeeded)
    assert isinstance(again, Succeeded)
    assert once.next == again.next
    assert once.next is not None
    assert once.next.process_id == pids["then"]
    assert yard.products() == [(pids["first"], 1)]
