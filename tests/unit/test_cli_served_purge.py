"""``tianyu run purge``: what a superseded run left goes, what people ask for stays."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select, update
from tests.unit.cli_fixtures import answer, invoke

from tianyu.cli import purge
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_queue, ensure_site
from tianyu.schema.migrate import upgrade
from tianyu.schema.states import State
from tianyu.schema.tables import (
    Flux,
    Image,
    ImageCopy,
    Instrument,
    Observation,
    Process,
    Reduction,
    RelativeFlux,
    Sky,
    SkyMesh,
    Source,
    SourcePosition,
    Stack,
)
from tianyu.schema.transitions.publish import ProcessSpec, RunSpec, insert_graph, insert_run

OLD, CURRENT = 1, 2
KEPT = (Flux, RelativeFlux, SourcePosition, Reduction, Source)


@dataclass
class Survey:
    """One observation reduced twice."""

    database: Database
    url: str
    root: Path

    def count(self, table: Any, run: int) -> int:
        query = select(func.count()).select_from(table).where(table.run_id == run)
        with self.database.read() as connection:
            return int(connection.scalar(query) or 0)

    def files(self, run: int) -> list[str]:
        return sorted(path.name for path in self.root.glob(f"runs/{run}/*"))

    def kept(self) -> list[int]:
        with self.database.read() as connection:
            return [connection.scalar(select(func.count()).select_from(t)) or 0 for t in KEPT]

    def change(self, statement: Any) -> None:
        with self.database.write() as connection:
            connection.execute(statement)


@pytest.fixture
def survey(tmp_path: Path) -> Survey:
    url = sqlite_url(tmp_path / "tianyu.sqlite")
    database = Database(url)
    upgrade(database)
    root = tmp_path / "root"
    with database.write() as connection:
        site = ensure_site(connection, "local", root, 60.0)
        queue = ensure_queue(connection, site, "cpu")
        camera = new(connection, Instrument, name="c", site_id=site, default_recipe="light_curves")
        sky = new(connection, Sky, name="field")
        night = new(
            connection, Observation, name="night", kind="light", instrument_id=camera,
            sky_id=sky, current_run_id=CURRENT, created_us=0,
        )  # fmt: skip
        raw = new_image(connection, site, root, "light", None)
        star = new(connection, Source, sky_id=sky, birth=1, is_forced=False)
        for run in (OLD, CURRENT):
            fill_run(connection, run, site, root, queue, night, raw, star)
    yield Survey(database, url, root)
    database.dispose()


def fill_run(
    connection: Connection, run: int, site: int, root: Path, queue: int, night: int, raw: int,
    star: int,
) -> None:  # fmt: skip
    spec = RunSpec(
        f"run {run}", "light_curves", 1, {}, "1.0", [ProcessSpec(run, "step", {}, queue)]
    )
    assert insert_run(connection, spec) == run
    insert_graph(connection, run, spec.processes)
    connection.execute(update(Process).values(state=State.SUCCEEDED.value, pending=0))
    for i, kind in enumerate(["partial_stack", "partial_stack", "stack", "template"]):
        image = new_image(connection, site, root, kind, run, i)
        facts = {"level": 0, "position": i, "n_frames": 1, "exposure_s": 1.0}
        connection.execute(insert(Stack).values(image_id=image, run_id=run, **facts))
    notes = {"flux_unit": "adu", "template_image_id": image, "notes": {}}
    connection.execute(insert(Reduction).values(run_id=run, observation_id=night, **notes))
    place = {"template_image_id": image, "source_id": star, "x": 1.0, "y": 1.0}
    connection.execute(insert(SourcePosition).values(**place))
    connection.execute(insert(SkyMesh).values(run_id=run, image_id=raw, mesh=b"mesh"))
    key = {"run_id": run, "source_id": star, "image_id": raw, "aperture": 0, "flags": 0}
    connection.execute(insert(Flux).values(**key, radius_pix=3.0))
    connection.execute(insert(RelativeFlux).values(**key))


def new_image(
    connection: Connection, site: int, root: Path, kind: str, run: int | None, i: int = 0
) -> int:
    size = {"width": 1, "height": 1, "binning": 1, "header": {}}
    image = new(connection, Image, kind=kind, name=kind, run_id=run, **size)
    path = f"runs/{run}/{kind}{i}.fits"
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_bytes(b"12345")
    copy = {"path": path, "size_bytes": 5, "created_us": 0}
    connection.execute(insert(ImageCopy).values(image_id=image, site_id=site, **copy))
    return image


def new(connection: Connection, table: Any, **values: Any) -> int:
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


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
