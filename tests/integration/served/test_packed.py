"""``tianyu pack``: light curves in a seventh of the space, and nobody sees a difference."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, text
from tests.unit.cli_fixtures import answer, build_survey, invoke

from tianyu.cli.queries.packed import view_definition
from tianyu.cli.retention.packing import pack_some
from tianyu.schema.database import Database
from tianyu.schema.tables import Flux, PackedFlux, RelativeFlux

CURVE = ("lightcurve", "--target", "HAT-P-32")
TABLES = (Flux, RelativeFlux, PackedFlux)


@pytest.fixture(params=["sqlite", "mysql"])
def survey(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    url = None if request.param == "sqlite" else request.getfixturevalue("database_url")
    return build_survey(tmp_path, url)


def rows(url: str) -> dict[str, list[tuple[Any, ...]]]:
    database = Database(url)
    with database.read() as connection:
        found = {t.__tablename__: _all(connection, t) for t in TABLES}
    database.dispose()
    return found


def _all(connection: Connection, table: Any) -> list[tuple[Any, ...]]:
    where = table.run_id == 1
    return sorted(tuple(row) for row in connection.execute(select(table.__table__).where(where)))


def test_a_light_curve_is_the_same_packed(survey: str) -> None:
    before = [answer(survey, *CURVE), answer(survey, *CURVE, "--all-radii")]
    n = len(rows(survey)["flux"])
    assert "packed" in invoke(survey, "pack", "1")
    assert rows(survey)["flux"] == rows(survey)["relative_flux"] == []
    packed = rows(survey)["packed_flux"]
    assert sum(row[2] for row in packed) == n
    assert [answer(survey, *CURVE), answer(survey, *CURVE, "--all-radii")] == before


def test_every_row_comes_back(survey: str) -> None:
    before = rows(survey)
    invoke(survey, "pack", "1")
    invoke(survey, "pack", "--undo", "1")
    assert rows(survey) == before


def test_an_interrupted_one_shows_every_point_once(
    survey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [answer(survey, "lightcurve", "--source", str(s), "--all-radii") for s in (1, 2, 3)]
    monkeypatch.setattr("tianyu.cli.retention.packing.SOURCES_AT_A_TIME", 1)
    database = Database(survey)
    assert pack_some(database, 1) == 1
    with database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(PackedFlux)) == 1
    database.dispose()
    after = [answer(survey, "lightcurve", "--source", str(s), "--all-radii") for s in (1, 2, 3)]
    assert after == before
    invoke(survey, "pack", "1")
    assert len(rows(survey)["packed_flux"]) == 3


def test_a_run_that_still_works_is_left_alone(survey: str) -> None:
    said = invoke(survey, "pack", "2", code=2)
    assert "run 2 still has" in said
    assert "tianyu status" in said


def test_commands_that_look_at_rows_say_what_to_do(survey: str) -> None:
    invoke(survey, "pack", "1")
    assert "tianyu pack --undo 1" in invoke(survey, "analyse", "--candidates", "3", code=2)


def test_the_rows_are_those_of_the_newest_view(tmp_path: Path) -> None:
    database = Database(build_survey(tmp_path))
    query = text("SELECT sql FROM sqlite_master WHERE name = 'light_curve_all'")
    with database.read() as connection:
        assert connection.scalar(query) == view_definition()
    database.dispose()
