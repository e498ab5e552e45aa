"""Migrations: they make what the models say, views included, and refuse what does not fit."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, select, text

from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.errors import SchemaVersionError
from tianyu.schema.migrate import check, newest_revision, revision_of, upgrade
from tianyu.schema.tables import metadata

LIGHT_CURVE = [
    "source_id", "source_name", "target", "ra", "dec", "x", "y", "utc_mid", "jd_utc_mid",
    "bjd_tdb_mid", "filter", "airmass", "radius_pix", "is_default_radius", "flux", "flux_error",
    "relative_flux", "relative_flux_error", "flags", "is_reference", "frame_is_good", "image_id",
    "observation_id", "run_id",
]  # fmt: skip


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Database]:
    database = Database(sqlite_url(tmp_path / "with 100% & spaces.sqlite"))
    yield database
    database.dispose()


@pytest.fixture
def migrated(empty: Database) -> Database:
    upgrade(empty)
    return empty


def test_the_migrations_make_exactly_the_tables_of_the_models(migrated: Database) -> None:
    with migrated.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


VIEWS = {
    "light_curve": LIGHT_CURVE,
    "light_curve_all": LIGHT_CURVE,
    "stack_light_curve": [*LIGHT_CURVE, "time_scale", "n_frames", "exposure_s"],
    "magnitude_curve": [
        "source_id",
        "source_name",
        "utc_mid",
        "jd_utc_mid",
        "bjd_tdb_mid",
        "filter",
        "magnitude",
        "magnitude_error",
        "catalogue",
        "zero_point_scatter",
        "zero_point_stars",
        "frame_is_good",
        "image_id",
        "observation_id",
        "run_id",
    ],
    "stack_light_curve_all": [*LIGHT_CURVE, "time_scale", "n_frames", "exposure_s"],
}


@pytest.mark.parametrize("view", VIEWS)
def test_the_views_have_their_columns_in_their_order(migrated: Database, view: str) -> None:
    with migrated.read() as connection:
        result = connection.execute(select(text("*")).select_from(text(view)))
        assert list(result.keys()) == VIEWS[view]
        assert result.all() == []


def test_upgrading_again_changes_nothing(migrated: Database) -> None:
    with migrated.write() as connection:
        connection.execute(text("INSERT INTO optical_filter (name) VALUES ('r')"))
    upgrade(migrated)
    check(migrated)
    with migrated.read() as connection:
        assert revision_of(connection) == newest_revision()
        assert connection.scalar(text("SELECT name FROM optical_filter")) == "r"


def test_an_upgrade_that_breaks_leaves_nothing(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tianyu.schema.migrate.command.upgrade", _break_half_way)
    with pytest.raises(RuntimeError):
        upgrade(empty)
    with empty.read() as connection:
        assert inspect(connection).get_table_names() == []


def _break_half_way(config: object, _revision: str) -> None:
    connection = config.attributes["connection"]  # type: ignore[attr-defined]
    connection.execute(text("CREATE TABLE half (x INTEGER)"))
    raise RuntimeError


def test_what_one_migration_makes_it_can_take_away(migrated: Database) -> None:
    from alembic import command

    from tianyu.schema.migrate import _config

    with migrated.write() as connection:
        command.downgrade(_config(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
        assert inspect(connection).get_view_names() == []


# -- refusing ----------------------------------------------------------------------------------


def test_an_empty_database_is_named_as_such(empty: Database) -> None:
    with pytest.raises(SchemaVersionError, match="is empty, this code needs schema"):
        check(empty)


@pytest.mark.parametrize("act", [check, upgrade])
def test_a_database_newer_than_the_code_is_refused(migrated: Database, act: object) -> None:
    with migrated.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaVersionError, match="has schema 9999, which is newer than this code"):
        act(migrated)  # type: ignore[operator]


@pytest.mark.parametrize("act", [check, upgrade])
def test_a_database_of_somebody_else_is_refused_and_left_alone(
    empty: Database, act: object
) -> None:
    with empty.write() as connection:
        connection.execute(text("CREATE TABLE invoices (id INTEGER)"))
    with pytest.raises(SchemaVersionError, match=r"tables that are not ours \(invoices, …\)"):
        act(empty)  # type: ignore[operator]
    with empty.read() as connection:
        assert inspect(connection).get_table_names() == ["invoices"]


def test_an_older_database_is_told_how_to_come_up_to_date(
    migrated: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tianyu.schema.migrate.newest_revision", lambda: "9999")
    with pytest.raises(SchemaVersionError, match=r"has schema \d{4}, .* needs schema 9999; run"):
        check(migrated)


def test_the_password_is_not_in_any_refusal(empty: Database) -> None:
    with pytest.raises(SchemaVersionError) as caught:
        check(empty)
    assert str(empty) in str(caught.value)
