"""Disks, databases and brokers that fail, and two commands on one folder: nothing is lost."""

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.acceptance.badnights import Answer, copy_of, run, work_off_here

from tianyu.consumer.consumer import Consumer
from tianyu.pipelines.simulation import NightPlan, simulate_night
from tianyu.schema.database import sqlite_url
from tianyu.schema.transitions.claim import Claim

CURVES = "SELECT * FROM light_curve ORDER BY source_id, image_id, radius_pix"
AWAY = "mysql+pymysql://tianyu:secret@127.0.0.1:1/tianyu"
NO_BROKER = "amqp://tianyu:secret@127.0.0.1:1/tianyu"


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night") / "all"
    simulate_night(NightPlan.small(n_light=4), folder)
    return copy_of(folder, folder.parent / "frames", without=("bias", "dark", "flat"))


@pytest.fixture(scope="module")
def reduced(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """The night as it should be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tianyu.cli.reduction.work_off", work_off_here)
        answer = run("reduce", frames, "--out", tmp_path_factory.mktemp("reduced"))
    assert answer.code == 0, answer.text
    return answer


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system of its own")
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(ballast: Path) -> None:
    """Leave not a byte of room."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            return


# -- disks -------------------------------------------------------------------------------------


def test_a_full_disk_is_waited_for_and_costs_nothing(
    frames: Path,
    reduced: Answer,
    disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The real consumer meets it, says so, pauses, and goes on when there is room."""
    ballast = disk / "ballast"

    def make_room() -> None:
        for _ in range(600):
            if any("full" in record.getMessage() for record in list(caplog.records)):
                break
            time.sleep(0.05)
        ballast.unlink()

    rescuer = threading.Thread(target=make_room)
    begin = Consumer._begin

    def begin_on_a_full_disk(self: Consumer, claim: Claim) -> None:
        if not rescuer.ident:
            fill(ballast)
            rescuer.start()
        begin(self, claim)

    monkeypatch.setenv("TIANYU_DISK_FULL_PAUSE_S", "0.3")
    monkeypatch.setattr(Consumer, "_begin", begin_on_a_full_disk)
    with caplog.at_level(logging.WARNING):
        answer = run("reduce", frames, "--out", disk / "out", "--workers", "1")
    rescuer.join()
    assert answer.code == 0, answer.text
    assert "full" in " ".join(record.getMessage() for record in caplog.records)
    assert answer.rows("SELECT MAX(failures) FROM process") == [(0,)]
    assert answer.rows(CURVES) == reduced.rows(CURVES)


def test_no_room_to_register_is_said_and_registering_again_mends_it(
    frames: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tianyu.cli.reduction.work_off", work_off_here)
    assert run("reduce", frames / "light_r_0001.fits", "--out", disk / "out").code == 0
    fill(disk / "ballast")
    answer = run("reduce", frames, "--out", disk / "out")
    assert answer.code == 2
    assert answer.line("error: ").endswith("and that the disk has room")
    (disk / "ballast").unlink()
    assert not list(disk.rglob("*.tmp"))
    assert run("reduce", frames, "--out", disk / "out").code == 0


def test_a_read_only_disk_is_said(frames: Path, disk: Path) -> None:
    (disk / "out").mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for out, words in ((disk / "out", "unable to open database file"), (disk / "new", "Read-only")):
        answer = run("reduce", frames, "--out", out)
        assert answer.code == 2
        assert words in answer.line("error: ")


def test_an_output_folder_that_is_a_file_is_said(frames: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    answer = run("reduce", frames, "--out", tmp_path / "out")
    assert answer.code == 2
    said = answer.line("error: the output folder")
    assert said.endswith("cannot be made: File exists; give another --out, or mend its rights")
    assert (tmp_path / "out").read_text() == "mine"


# -- databases and brokers ---------------------------------------------------------------------


@pytest.mark.parametrize("command", ["status", "publish", "register", "init", "reduce"])
def test_a_database_that_cannot_be_reached_is_named_without_its_password(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Services wait for theirs, see tests/unit/test_cli_served.py."""
    monkeypatch.setattr("tianyu.schema.database.RETRY_SECONDS", ())
    arguments = {
        "publish": ["1"], "register": [frames], "reduce": [frames, "--out", tmp_path / "out"]
    }  # fmt: skip
    answer = run(command, *arguments.get(command, []), "--database", AWAY)
    assert answer.code == 2
    said = answer.line("error: the database mysql+pymysql://tianyu:***@127.0.0.1:1/tianyu")
    assert "does not answer" in said
    assert "check that the server runs" in said
    assert "secret" not in answer.text


def test_a_broker_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "tianyu.sqlite")
    answer = run("init", "--database", url, "--broker", NO_BROKER, "--root", tmp_path)
    assert answer.code == 2
    said = answer.line("error: ")
    assert "no connection to the broker at amqp://127.0.0.1:1/tianyu" in said
    assert "secret" not in answer.text


def test_a_file_that_is_no_database_is_refused_and_kept(frames: Path, tmp_path: Path) -> None:
    path = tmp_path / "tianyu.sqlite"
    path.write_bytes(b"my notes\n" * 500)
    answer = run("reduce", frames, "--out", tmp_path)
    assert answer.code == 2
    said = answer.line("error: ")
    assert "cannot be used: file is not a database; check that it is the file you mean" in said
    assert path.read_bytes() == b"my notes\n" * 500


# -- versions ----------------------------------------------------------------------------------


def test_a_database_of_a_newer_code_is_refused_and_kept(
    frames: Path, reduced: Answer, tmp_path: Path
) -> None:
    path = tmp_path / "tianyu.sqlite"
    shutil.copy(reduced.out / "tianyu.sqlite", path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    for words in (
        ["status", "--database", sqlite_url(path)],
        ["reduce", frames, "--out", tmp_path],
    ):
        answer = run(*words)
        assert answer.code == 2
        said = answer.line("error: ", "has schema 9999, which is newer than this code")
        assert said.endswith("install the version of tianyu that made it, or a newer one")
    assert Answer("", 0, tmp_path).rows(CURVES) == reduced.rows(CURVES)


def test_a_database_of_an_older_code_is_refused_until_it_is_brought_up_to_date(
    reduced: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tianyu.schema.migrate.newest_revision", lambda: "9998")
    answer = run("status", "--database", sqlite_url(reduced.out / "tianyu.sqlite"))
    assert answer.code == 2
    said = answer.line("error: ", "this code needs schema 9998")
    assert said.endswith("run `tianyu init` to bring it up to date (rows are kept)")


# -- two at once -------------------------------------------------------------------------------


def test_two_commands_on_one_folder_share_the_work(
    frames: Path, reduced: Answer, tmp_path: Path
) -> None:
    """Both say that they succeeded, and nothing is done twice."""
    main = "import sys; from tianyu.cli.main import main; sys.argv[0] = 'tianyu'; main()"
    command = [
        sys.executable, "-c", main, "reduce", str(frames), "--out", str(tmp_path),
        "--workers", "1", "--chunk", "2",
    ]  # fmt: skip
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    texts = [process.communicate(timeout=300)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], texts
    answer = Answer("", 0, tmp_path)
    assert answer.rows("SELECT COUNT(*) FROM run") == [(1,)]
    assert answer.rows("SELECT COUNT(*) FROM attempt WHERE outcome <> 'succeeded'") == [(0,)]
    assert answer.rows(CURVES) == reduced.rows(CURVES)
