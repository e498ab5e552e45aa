"""One observation reduced twice, with every kind of file that a run leaves."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

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


def reduced_twice(tmp_path: Path) -> Iterator[Survey]:
    """Make the survey, for a fixture."""
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
