"""How the server finds its rows: by an index or by ranges of one, never by reading a table."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, insert
from tests.integration.engine.backends import clear
from tests.integration.engine.test_plans import HOT, statements_of
from tests.integration.engine.world import QUEUE, World, publish_run

from tianyu.schema.bulk import insert_columns
from tianyu.schema.database import Database
from tianyu.schema.tables import (
    Flux,
    Frame,
    FrameVerdict,
    Image,
    Instrument,
    Observation,
    Reduction,
    RelativeFlux,
    Site,
    Sky,
    Source,
    SourcePhotometry,
    SourcePosition,
    Target,
)
from tianyu.schema.transitions.publish import ProcessSpec

N_OTHERS = 3000
"""Processes that do not matter; of a handful of rows every server reads all, and rightly so."""

N_RUNS, N_SOURCES, N_FRAMES, N_RADII = 4, 60, 40, 3

ONE_STAR = "SELECT * FROM light_curve WHERE source_name = 'star 7' AND is_default_radius = 1"


@dataclass(frozen=True)
class Access:
    """How one table is read."""

    table: str
    how: str
    key: str | None
    key_bytes: int
    rows: int


def accesses(connection: Connection, sql: str, parameters: Any = ()) -> list[Access]:
    """Return the server's plan."""
    # Newer servers show a tree unless asked for the table.
    rows = (
        connection.exec_driver_sql(f"EXPLAIN FORMAT=TRADITIONAL {sql}", parameters).mappings().all()
    )
    return [
        Access(
            str(row["table"]),
            str(row["type"]),
            row["key"],
            # A merged index shows a list of lengths.
            int(str(row["key_len"] or 0).split(",")[0]),
            int(row["rows"] or 0),
        )
        for row in rows
        if row["table"] is not None
    ]


# -- the engine --------------------------------------------------------------------------------


@pytest.fixture
def crowded(world: World) -> dict[str, int]:
    """Fill the tables of the engine; return processes by the name of their state."""
    pids = world.publish(
        {"queued": [], "running": [], "expired": [], "failed": [], "child": ["running", "failed"]}
    )
    world.claim(pids["running"])
    world.claim(pids["expired"])
    world.expire(pids["expired"])
    world.break_(pids["failed"])
    world.publish({"ready": []})
    numbers = range(100_000, 100_000 + N_OTHERS)
    chain = [ProcessSpec(i, "step", {}, QUEUE, (i - 1,) if i > 100_000 else ()) for i in numbers]
    with world.database.write() as connection:
        publish_run(connection, world.run(chain))
        connection.exec_driver_sql("ANALYZE TABLE process, dependency, attempt").all()
    return pids


@pytest.mark.parametrize("name", sorted(set(HOT) - {"claim_next"}))
def test_no_hot_statement_scans_a_table(world: World, crowded: dict[str, int], name: str) -> None:
    for sql, parameters in statements_of(world, HOT[name], crowded):
        with world.database.read() as connection:
            for access in accesses(connection, sql, parameters):
                assert access.how not in {"ALL", "index"}, f"{sql}\n{access}"
                assert access.rows < N_OTHERS / 10, f"{sql}\n{access}"


# -- light curves ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def survey(server_database: Database) -> Iterator[Database]:
    """A sky with named stars, observed on several nights, each reduced once."""
    clear(server_database)
    with server_database.write() as connection:
        _fill(connection)
        tables = ("flux", "relative_flux", "source", "target", "frame", "frame_verdict", "image")
        more = ("observation", "reduction", "source_photometry", "source_position")
        connection.exec_driver_sql(f"ANALYZE TABLE {', '.join(tables + more)}").all()
    yield server_database
    clear(server_database)


def _fill(connection: Connection) -> None:
    site = _new(connection, Site, name="here", root="/", lease_s=60.0)
    camera = _new(connection, Instrument, name="camera", site_id=site, default_recipe="night")
    sky = _new(connection, Sky, name="field")
    stars = []
    for number in range(N_SOURCES):
        target = _new(connection, Target, name=f"star {number}", kind="star")
        star = {"sky_id": sky, "target_id": target, "birth": 1, "is_forced": False}
        stars.append(_new(connection, Source, **star))
    for run in range(1, N_RUNS + 1):
        _fill_night(connection, run, camera, sky, stars)


def _fill_night(connection: Connection, run: int, camera: int, sky: int, stars: list[int]) -> None:
    night = _new(
        connection, Observation, name=f"night {run}", kind="light", sky_id=sky,
        instrument_id=camera, current_run_id=run, created_us=0,
    )  # fmt: skip
    size = {"width": 9, "height": 9, "binning": 1, "header": {}}
    frames = [
        _new(connection, Image, kind="light", name=f"{i}", observation_id=night, **size)
        for i in range(N_FRAMES)
    ]
    template = _new(connection, Image, kind="template", name="template", **size)
    values = {"run_id": run, "observation_id": night, "flux_unit": "adu", "notes": {}}
    connection.execute(insert(Reduction).values(**values, template_image_id=template))
    for star in stars:
        place = {"template_image_id": template, "source_id": star, "x": 1.0, "y": 1.0}
        connection.execute(insert(SourcePosition).values(**place))
        connection.execute(
            insert(SourcePhotometry).values(
                run_id=run, source_id=star, default_aperture=1, is_reference=False, n_epochs=1
            )
        )
    for frame in frames:
        key = {"run_id": run, "image_id": frame}
        flags = {"aligned_by": 1, "is_aligned": True, "is_stacked": True}
        connection.execute(insert(Frame).values(**key, **flags))
        verdict = {"is_good": True, "reject_bits": 0, "reason": ""}
        connection.execute(insert(FrameVerdict).values(**key, **verdict))
    _fill_fluxes(connection, run, stars, frames)


def _fill_fluxes(connection: Connection, run: int, stars: list[int], frames: list[int]) -> None:
    star, frame, radius = (
        axis.ravel() for axis in np.meshgrid(stars, frames, range(N_RADII), indexing="ij")
    )
    n = len(star)
    key = {"run_id": np.full(n, run), "source_id": star, "image_id": frame, "aperture": radius}
    flux = np.random.default_rng(run).normal(1.0, 0.01, n)
    columns = key | {"radius_pix": radius + 2.0, "flux": flux, "flags": np.zeros(n, int)}
    insert_columns(connection, Flux.__table__, columns)  # type: ignore[arg-type]  # a Table
    columns = key | {"relative_flux": flux, "flags": np.zeros(n, int)}
    insert_columns(connection, RelativeFlux.__table__, columns)  # type: ignore[arg-type]  # a Table


def _new(connection: Connection, table: Any, **values: Any) -> int:
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def test_one_star_over_all_nights_is_found_by_the_key(survey: Database) -> None:
    with survey.read() as connection:
        assert len(connection.exec_driver_sql(ONE_STAR).all()) == N_RUNS * N_FRAMES
        plan = {access.table: access for access in accesses(connection, ONE_STAR)}
    assert plan["st"].key == "uq_target_name"
    assert plan["s"].key == "ix_source_target_id"
    assert (plan["f"].how, plan["f"].key) == ("ref", "PRIMARY")
    # At least the first two columns of the key, 4 bytes each: run and source. With few frames
    # the server prefers to look up each of them, by the third.
    assert plan["f"].key_bytes >= 8
    assert plan["f"].rows < 2 * N_FRAMES * N_RADII
    assert plan["r"].how == "eq_ref"


@pytest.mark.parametrize(
    "where", ["source_id = 7", "target = 'star 7'", "observation_id = 2 AND source_id = 7"]
)
def test_no_question_about_one_star_reads_all_fluxes(survey: Database, where: str) -> None:
    with survey.read() as connection:
        sql = f"SELECT * FROM light_curve WHERE {where}"  # noqa: S608 - written above
        plan = {access.table: access for access in accesses(connection, sql)}
    assert plan["f"].how in {"ref", "range", "eq_ref"}
    assert plan["f"].key == "PRIMARY"
    assert plan["r"].how == "eq_ref"


def test_the_digits_of_single_precision_survive_the_way_through_the_view(
    survey: Database,
) -> None:
    with survey.read() as connection:
        rows = connection.exec_driver_sql("SELECT flux, relative_flux FROM light_curve").all()
    values = np.array(rows)
    assert np.array_equal(values, values.astype(np.float32))
    # Six digits would leave a hundred thousand different values between 0.95 and 1.05.
    assert np.mean(values == np.round(values, 5)) < 0.1
