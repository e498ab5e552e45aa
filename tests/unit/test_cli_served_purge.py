"""``tianyu run purge``: what a superseded run left goes, what people ask for stays."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, select, update
from tests.unit.cli_fixtures import answer, invoke
from tests.unit.purge_fixtures import CURRENT, OLD, Survey, reduced_twice

from tianyu.cli import purge
from tianyu.schema.directory import ensure_site
from tianyu.schema.tables import Image, ImageCopy, Process, SkyMesh, Stack


@pytest.fixture
def survey(tmp_path: Path) -> Iterator[Survey]:
    yield from reduced_twice(tmp_path)


def test_a_dry_run_lists_and_leaves(survey: Survey) -> None:
    said = answer(survey.url, "run", "purge", str(OLD), "--dry-run")
    assert said["dry_run"] is True
    (run,) = said["runs"]
    assert (run["n_meshes"], run["n_elsewhere"]) == (1, 0)
    paths = [file["path"] for file in run["files"]]
    names = ["partial_stack0", "partial_stack1", "stack2"]
    assert paths == [f"runs/{OLD}/{name}.fits" for name in names]
    assert "3 files of 15 B and 1 sky mesh would be removed" in invoke(
        survey.url, "run", "purge", str(OLD), "--dry-run"
    )
    assert len(survey.files(OLD)) == 4
    assert survey.count(Stack, OLD) == 4


def test_intermediate_files_and_rows_go_and_nothing_else(survey: Survey) -> None:
    before = survey.kept()
    assert "removed" in invoke(survey.url, "run", "purge", str(OLD))
    assert survey.files(OLD) == ["template3.fits"]
    assert survey.count(Stack, OLD) == survey.count(Image, OLD) == 1
    assert survey.count(SkyMesh, OLD) == 0
    assert survey.kept() == before
    assert len(survey.files(CURRENT)) == survey.count(Stack, CURRENT) == 4
    assert survey.count(SkyMesh, CURRENT) == 1
    assert "0 files of 0 B and 0 sky meshes removed" in invoke(survey.url, "run", "purge", str(OLD))


def test_interrupted_at_any_moment_it_is_ended_by_doing_it_again(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n_done in range(3):
        with monkeypatch.context() as patch:
            interrupt_after(patch, n_done)
            with pytest.raises(InterruptedError):
                run_purge(survey)
        # Every file that is there is named by a row.
        assert survey.count(Stack, OLD) >= len(survey.files(OLD))
    run_purge(survey)
    assert survey.files(OLD) == ["template3.fits"]
    assert survey.count(Stack, OLD) == 1


def run_purge(survey: Survey) -> None:
    with survey.database.read() as connection:
        found = purge.find_leftovers(connection, OLD, 1)
    purge.remove(survey.database, survey.root, 1, found)


def interrupt_after(patch: pytest.MonkeyPatch, n_done: int) -> None:
    left = iter(range(n_done))
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        if next(left, None) is None:
            raise InterruptedError
        real(path, missing_ok=missing_ok)

    patch.setattr(Path, "unlink", unlink)


def test_copies_at_other_sites_keep_their_rows(survey: Survey) -> None:
    with survey.database.write() as connection:
        other = ensure_site(connection, "other", survey.root / "other", 60.0)
        image = connection.scalar(select(Stack.image_id).where(Stack.run_id == OLD).limit(1))
        copy = {"path": "x", "size_bytes": 5, "created_us": 0}
        connection.execute(insert(ImageCopy).values(image_id=image, site_id=other, **copy))
    said = invoke(survey.url, "run", "purge", str(OLD))
    assert "1 file at other sites; run this there, with --site" in said
    assert survey.count(Stack, OLD) == 2, "the template, and the one with a copy elsewhere"
    invoke(survey.url, "run", "purge", str(OLD), "--site", "other")
    assert survey.count(Stack, OLD) == 1


@pytest.mark.parametrize("state", ["waiting", "ready", "queued", "running"])
def test_a_run_that_has_not_ended_is_refused(survey: Survey, state: str) -> None:
    survey.change(update(Process).where(Process.run_id == OLD).values(state=state))
    said = invoke(survey.url, "run", "purge", str(OLD), code=2)
    assert f"run {OLD} still has 1 process to do" in said
    assert len(survey.files(OLD)) == 4


def test_a_current_run_is_refused_and_so_is_all_that_was_asked_with_it(survey: Survey) -> None:
    said = invoke(survey.url, "run", "purge", str(OLD), str(CURRENT), code=2)
    assert f"run {CURRENT} is the current one of observation 'night'" in said
    assert len(survey.files(OLD)) == 4


def test_a_run_that_does_not_exist_is_refused(survey: Survey) -> None:
    assert "there is no run 9" in invoke(survey.url, "run", "purge", "9", code=2)
