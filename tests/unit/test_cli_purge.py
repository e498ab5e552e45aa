"""``tianyu purge``: what may go goes, by policy; what anybody may still need stays."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update
from tests.unit.cli_fixtures import answer, invoke
from tests.unit.purge_fixtures import CURRENT, OLD, Survey, reduced_twice

from tianyu.cli import purge
from tianyu.consumer import scratch
from tianyu.publisher.graph import ADOPTION_STEP
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.paths import product_path
from tianyu.schema.states import State
from tianyu.schema.tables import (
    Dependency,
    Flux,
    Image,
    ImageCopy,
    Observation,
    Process,
    RelativeFlux,
    SkyMesh,
    SourcePhotometry,
    Stack,
)

NOW = ("--older-than", "0")
MONTH_US = 31 * 86_400_000_000


@pytest.fixture
def survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Survey]:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    yield from reduced_twice(tmp_path)


def age(survey: Survey, run: int) -> None:
    """Let a month pass since a run ended."""
    past = {"finished_us": Process.created_us - MONTH_US}
    survey.change(update(Process).where(Process.run_id == run).values(**past))


# -- which runs ------------------------------------------------------------------------------------


def test_a_run_that_ended_lately_stays(survey: Survey) -> None:
    assert invoke(survey.url, "purge") == "nothing to remove\n"
    age(survey, OLD)
    said = invoke(survey.url, "purge", "--older-than", "30", "--dry-run")
    assert said == "run 1: 3 files of 15 B and 1 sky mesh would be removed\n"
    assert invoke(survey.url, "purge", "--older-than", "32") == "nothing to remove\n"


def test_the_newest_runs_of_an_observation_stay(survey: Survey) -> None:
    age(survey, OLD)
    assert invoke(survey.url, "purge", "--keep-last", "2") == "nothing to remove\n"
    assert "run 1: 3 files" in invoke(survey.url, "purge", "--keep-last", "0")
    assert len(survey.files(CURRENT)) == 4, "the current one stays, whatever the policy"


def test_a_run_that_has_not_ended_stays(survey: Survey) -> None:
    age(survey, OLD)
    survey.change(update(Process).where(Process.run_id == OLD).values(state=State.READY.value))
    assert invoke(survey.url, "purge", *NOW) == "nothing to remove\n"


def test_what_is_current_again_stays_even_if_it_was_not_when_looked_at(survey: Survey) -> None:
    with survey.database.read() as connection:
        found = purge.find_leftovers(connection, OLD, 1)
    survey.change(update(Observation).values(current_run_id=OLD))
    with pytest.raises(ConfigurationError, match="is the current one"):
        purge.remove(survey.database, survey.root, 1, found)
    assert len(survey.files(OLD)) == 4


# -- what of them ----------------------------------------------------------------------------------


def test_only_what_the_run_needed_itself_goes(survey: Survey) -> None:
    before = survey.kept()
    invoke(survey.url, "purge", *NOW)
    assert survey.files(OLD) == ["template3.fits"]
    assert survey.count(Stack, OLD) == 1
    assert survey.count(SkyMesh, OLD) == 0
    assert survey.kept() == before
    assert invoke(survey.url, "purge", *NOW) == "nothing to remove\n"


def test_what_the_current_run_was_built_upon_stays(survey: Survey) -> None:
    with survey.database.write() as connection:
        connection.execute(insert(Dependency).values(parent=OLD, child=CURRENT))
        adopting = update(Process).where(Process.id == CURRENT)
        connection.execute(adopting.values(command=ADOPTION_STEP))
    said = invoke(survey.url, "purge", *NOW, "--kind", "intermediate", "--kind", "light-curves")
    assert said == (
        f"run {OLD} stays: run {CURRENT} uses 1 of its processes and is the current one of its "
        "observation\n"
    )
    assert len(survey.files(OLD)) == 4
    assert survey.count(Flux, OLD) == 1


def test_light_curves_go_only_when_they_are_named(survey: Survey) -> None:
    none = dict.fromkeys(
        [
            "magnitude",
            "packed_flux",
            "stack_relative_flux",
            "stack_flux",
            "flux_level",
            "source_photometry",
        ],
        0,
    )
    rows = {**none, "relative_flux": 1, "flux": 1}
    said = answer(survey.url, "purge", *NOW, "--kind", "light-curves", "--dry-run")
    assert said["light_curve_rows"] == {str(OLD): rows}
    assert survey.count(Flux, OLD) == 1
    text = invoke(survey.url, "purge", *NOW, "--kind", "light-curves")
    assert "run 1: light curves, rows 0 of magnitude" in text
    assert "1 of relative_flux, 1 of flux" in text
    for table in (RelativeFlux, Flux, SourcePhotometry):
        assert survey.count(table, OLD) == 0
    assert survey.count(Flux, CURRENT) == survey.count(RelativeFlux, CURRENT) == 1
    assert len(survey.files(OLD)) == 4, "nothing else was named"


def test_killed_at_any_step_it_leaves_nothing_that_no_row_names(survey: Survey) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.killed_purge", survey.url, *NOW],
        capture_output=True, text=True, check=True, timeout=250,
        cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    states = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [state["status"] for state in states] == [9] * (len(states) - 1) + [0]
    assert len(states) > 6, "one kill before and after each file, and at the commits"
    assert [state["unnamed"] for state in states] == [[]] * len(states)
    assert any(state["missing"] for state in states), "it was never killed between file and row"
    assert states[-1]["missing"] == []
    assert survey.files(OLD) == ["template3.fits"]


# -- orphans ---------------------------------------------------------------------------------------


def write(survey: Survey, path: str) -> Path:
    """Write a file; its time of change cannot be set, so tests shift the clock instead."""
    file = survey.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"rest")
    return file


@pytest.fixture
def two_days_later(monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + 2 * 86_400.0
    monkeypatch.setattr("tianyu.cli.retention.orphans.time.time", lambda: later)


def product(attempt: int, pid: int = OLD, run: int = OLD) -> str:
    return product_path(run, "step", pid, attempt, "stack.fits")


def orphans(survey: Survey, *options: str) -> dict[str, bool]:
    found = answer(survey.url, "purge", "--kind", "orphans", *options)["orphans"]
    return {orphan["path"]: orphan["is_sure"] for orphan in found}


def test_young_files_are_left_alone(survey: Survey) -> None:
    file = write(survey, product(1))
    assert orphans(survey) == {}
    assert file.exists()
    assert list(orphans(survey, "--orphan-age", "0")) == [product(1)]
    assert not file.exists()


@pytest.mark.usefixtures("two_days_later")
def test_files_of_attempts_that_are_over_go(survey: Survey) -> None:
    survey.change(update(Process).where(Process.id == OLD).values(attempt=2, state="failed"))
    half = f"runs/{OLD:06d}/step/.{OLD}.2.table.csv.tmp"
    unnamed = f"runs/{OLD:06d}/step/.0123456789abcdef.tmp"
    frame = "raw/000001/.0123456789abcdef.tmp"
    files = [write(survey, path) for path in (product(1), product(2), half, unnamed, frame)]
    expected = dict.fromkeys([frame, half, unnamed, product(1), product(2)], True)
    assert orphans(survey, "--dry-run") == expected
    assert all(file.exists() for file in files)
    assert orphans(survey) == expected
    assert not any(file.exists() for file in files)


@pytest.mark.usefixtures("two_days_later")
def test_what_a_broken_transfer_has_brought_stays_while_one_runs(survey: Survey) -> None:
    part = "received/000000/.7.0123456789abcdef.tmp"
    file, whole = write(survey, part), write(survey, "received/000000/7.stack.fits")
    transfer = update(Process).where(Process.id == OLD)
    survey.change(transfer.values(command="transfer", state="running", attempt=2))
    assert orphans(survey) == {}
    assert file.exists()
    survey.change(transfer.values(state="failed"))
    assert orphans(survey) == {part: True}
    assert not file.exists()
    assert whole.exists(), "its row may be on its way"


@pytest.mark.usefixtures("two_days_later")
def test_files_of_a_running_attempt_stay(survey: Survey) -> None:
    survey.change(update(Process).where(Process.id == OLD).values(attempt=2, state="running"))
    half = f"runs/{OLD:06d}/step/.0123456789abcdef.tmp"
    write(survey, product(1))
    alive = [write(survey, path) for path in (product(2), half)]
    assert orphans(survey) == {product(1): True}, "only that of the attempt before"
    assert all(file.exists() for file in alive)


@pytest.mark.usefixtures("two_days_later")
def test_files_that_a_row_names_stay(survey: Survey) -> None:
    file = write(survey, product(1))
    with survey.database.write() as connection:
        image = connection.scalar(select(Stack.image_id).where(Stack.run_id == OLD).limit(1))
        connection.execute(update(Image).where(Image.id == image).values(birth=OLD))
        copy = update(ImageCopy).where(ImageCopy.image_id == image)
        connection.execute(copy.values(path=product(1)))
    assert orphans(survey) == {}
    assert file.exists()


@pytest.mark.usefixtures("two_days_later")
def test_files_of_processes_that_this_database_does_not_know_stay(survey: Survey) -> None:
    file = write(survey, product(1, pid=777))
    assert orphans(survey) == {product(1, pid=777): False}
    said = invoke(survey.url, "purge", "--kind", "orphans")
    assert "kept: of process 777, which is not in this database" in said
    assert file.exists()


@pytest.mark.usefixtures("two_days_later")
def test_links_and_files_of_others_are_not_touched(survey: Survey, tmp_path: Path) -> None:
    outside = tmp_path / "precious.fits"
    outside.write_bytes(b"mine")
    folder = survey.root / f"runs/{OLD:06d}/step"
    folder.mkdir(parents=True)
    (folder / f"{OLD}.1.link.fits").symlink_to(outside)
    (survey.root / "runs" / "elsewhere").symlink_to(tmp_path)
    (tmp_path / f"{OLD}.1.stack.fits").write_bytes(b"mine")
    write(survey, f"runs/{OLD:06d}/step/notes.txt")
    assert orphans(survey) == {}
    assert outside.exists()


# -- folders of killed consumers -------------------------------------------------------------------


def test_the_folder_of_a_living_consumer_stays_and_that_of_a_dead_one_goes(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, dead = scratch.Scratch(), scratch.Scratch()
    (dead.path / "0.txt").write_text("Fatal Python error: Segmentation fault")
    # As the system does when a process is killed.
    dead._lock.close()
    assert scratch.remove_stale() == [], "too young to judge"
    later = time.time() + 120.0
    monkeypatch.setattr("tianyu.consumer.scratch.time.time", lambda: later)
    assert scratch.remove_stale(dry_run=True) == [dead.path]
    assert dead.path.exists()
    assert str(dead.path) in invoke(survey.url, "purge", "--kind", "orphans")
    assert not dead.path.exists()
    assert alive.path.exists()
    alive.remove()
    assert not alive.path.exists()


def test_a_link_with_such_a_name_is_not_followed(survey: Survey, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (tmp_path / "scratch" / "tianyu-consumer-evil").symlink_to(precious)
    os.utime(tmp_path / "scratch" / "tianyu-consumer-evil", (0, 0), follow_symlinks=False)
    assert scratch.remove_stale() == []
    assert precious.exists()
