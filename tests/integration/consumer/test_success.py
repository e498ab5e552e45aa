"""Processes that succeed: what is there afterwards, and that it is there all at once."""

import os
import socket

import pytest
from sqlalchemy import select
from tests.integration.consumer.yard import Yard, work

from tianyu.schema.states import ErrorKind, State
from tianyu.schema.tables import Image, ImageCopy


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Yard, dict[str, int]]:
    """A small graph, worked off by one consumer with one child."""
    with Yard.at(tmp_path_factory.mktemp("yard")) as yard:
        pids = yard.publish(
            root=work("compute", seconds=0.2),
            left=work("noop", "root"),
            right=work("write_file", "root", seconds=0.0),
            refused=work("two_rows_of_one_name", "root"),
            last=work("noop", "left", "right"),
            never=work("noop", "refused"),
            **{f"link{i}": work("noop", *([f"link{i - 1}"] if i else [])) for i in range(20)},
        )
        yard.work_off(failure_budget=1)
        return yard, pids


def test_children_follow_their_parents_to_success(done: tuple[Yard, dict[str, int]]) -> None:
    yard, pids = done
    names = ("root", "left", "right", "last")
    assert yard.states(pids[name] for name in names) == [State.SUCCEEDED] * 4
    ends = [yard.row(pids[name]).finished_us for name in names]
    assert ends == sorted(ends)


def test_every_link_of_a_chain_is_done_once(done: tuple[Yard, dict[str, int]]) -> None:
    yard, pids = done
    links = [pids[f"link{i}"] for i in range(20)]
    assert yard.states(links) == [State.SUCCEEDED] * 20
    assert [yard.attempt(pid).number for pid in links] == [1] * 20
    assert [pair for pair in yard.products() if pair[0] in links] == [(pid, 1) for pid in links]


def test_products_that_the_database_refuses_leave_nothing(
    done: tuple[Yard, dict[str, int]],
) -> None:
    yard, pids = done
    row = yard.row(pids["refused"])
    assert (row.state, row.error_kind) == (State.FAILED.value, ErrorKind.UNEXPECTED.value)
    assert "UNIQUE constraint failed" in row.error_text
    assert "Traceback" in row.error_text
    assert not [pair for pair in yard.products() if pair[0] == pids["refused"]]
    # Its child was not let go; to say that it waits in vain is the manager's task.
    assert yard.state(pids["never"]) is State.WAITING
    assert yard.row(pids["never"]).pending == 1


def test_the_attempt_says_what_it_cost(done: tuple[Yard, dict[str, int]]) -> None:
    yard, pids = done
    attempt = yard.attempt(pids["root"])
    assert attempt.outcome == "succeeded"
    assert 0.2 <= attempt.cpu_s < 5.0
    # An interpreter with a database library: tens of megabytes, certainly.
    assert 2e7 < attempt.peak_memory_bytes < 1e9
    assert attempt.bytes_read == 1234
    assert attempt.bytes_written == 0
    took_s = (attempt.finished_us - attempt.started_us) / 1e6
    assert 0.19 <= took_s < 10.0
    row = yard.row(pids["root"])
    assert (attempt.claim_token, attempt.worker_id) == (row.claim_token, row.worker_id)
    assert attempt.started_us == row.started_us
    assert 0 <= attempt.finished_us - row.finished_us < 1e6
    assert yard.attempt(pids["right"]).bytes_written == len(b"attempt 1")


def test_the_worker_says_who_it_was_and_that_it_left(done: tuple[Yard, dict[str, int]]) -> None:
    yard, pids = done
    (worker,) = yard.workers()
    assert worker.id == yard.attempt(pids["root"]).worker_id
    assert (worker.host, worker.os_pid, worker.groups) == (socket.gethostname(), os.getpid(), "cpu")
    assert worker.started_us <= worker.last_seen_us == worker.stopped_us


def test_a_product_file_lies_where_its_row_says(done: tuple[Yard, dict[str, int]]) -> None:
    yard, pids = done
    with yard.database.read() as connection:
        image = connection.execute(select(Image).where(Image.birth == pids["right"])).one()
        copy = connection.execute(select(ImageCopy).where(ImageCopy.image_id == image.id)).one()
    file = yard.folder / "files" / copy.path
    assert file.read_text() == "attempt 1"
    assert file.name.startswith(f"{pids['right']}.1.")
    assert [path.name for path in file.parent.iterdir()] == [file.name]
