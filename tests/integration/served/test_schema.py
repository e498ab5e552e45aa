"""The schema on a server: types that keep what they are given, names that differ by case."""

import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from tianyu.schema import dialects, migrate
from tianyu.schema.bulk import insert_columns
from tianyu.schema.database import Database
from tianyu.schema.dialects import now_us
from tianyu.schema.directory import ensure_queue, ensure_site
from tianyu.schema.errors import SchemaVersionError
from tianyu.schema.tables import (
    Frame,
    Image,
    ReferenceFrame,
    Run,
    Site,
    Target,
    metadata,
)


@pytest.fixture
def empty(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.dispose()


# -- migrations --------------------------------------------------------------------------------


def test_the_migrations_make_the_tables_of_the_models_and_can_take_them_away(
    empty: Database,
) -> None:
    migrate.upgrade(empty)
    migrate.check(empty)
    with empty.write() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert [d for d in compare_metadata(context, metadata) if d[0] != "modify_comment"] == []
        views = {"light_curve", "light_curve_all"}
        views |= {f"stack_{view}" for view in views} | {"magnitude_curve"}
        assert set(inspect(connection).get_view_names()) == views
    with empty.write() as connection:
        command.downgrade(migrate._config(connection), "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    migrate.upgrade(empty)


def test_a_first_init_that_was_killed_is_begun_anew(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A server commits at every table: what was made before the end stays.
    with empty.write() as connection:
        MigrationContext.configure(connection)._ensure_version_table()
        for table in metadata.sorted_tables[:9]:
            table.create(connection)
    migrate.upgrade(empty)
    migrate.check(empty)


def test_half_made_tables_with_rows_in_them_are_left_alone(empty: Database) -> None:
    with empty.write() as connection:
        MigrationContext.configure(connection)._ensure_version_table()
        metadata.tables["target"].create(connection)
        connection.execute(insert(Target).values(name="M 31", kind="star"))
    with pytest.raises(SchemaVersionError, match="tables that are not ours"):
        migrate.upgrade(empty)
    with empty.read() as connection:
        assert connection.scalars(select(Target.name)).all() == ["M 31"]


def test_a_missing_database_is_made_and_one_that_is_there_is_left(empty: Database) -> None:
    name = f"tianyu_test_{uuid.uuid4().hex[:12]} `é"
    missing = Database(empty.url.set(database=name).render_as_string(hide_password=False))
    try:
        for _ in range(2):
            dialects.create_database(missing.url)
            migrate.upgrade(missing)
        migrate.check(missing)
    finally:
        with empty.write() as connection:
            quoted = connection.dialect.identifier_preparer.quote_identifier(name)
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {quoted}")
        missing.dispose()


def test_two_inits_at_once_make_one_schema(empty: Database) -> None:
    errors: list[BaseException] = []

    def init() -> None:
        own = Database(empty.text_url)
        try:
            migrate.upgrade(own)
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)
        finally:
            own.dispose()

    threads = [threading.Thread(target=init) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    migrate.check(empty)


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mariadb+pymysql", "mysql+pymysql"])
def test_every_way_to_write_the_url(database: Database, scheme: str) -> None:
    url = make_url(database.text_url).set(drivername=scheme).render_as_string(hide_password=False)
    other = Database(url)
    migrate.check(other)
    other.dispose()


# -- connections -------------------------------------------------------------------------------


def test_every_connection_is_set_up(database: Database) -> None:
    with database.read() as connection:
        values = connection.exec_driver_sql(
            "SELECT @@time_zone, @@innodb_lock_wait_timeout, @@wait_timeout, @@sql_mode, "
            "@@character_set_connection"
        ).one()
        assert connection.get_isolation_level() == "READ COMMITTED"
    assert tuple(values)[:3] == ("+00:00", 20, 600)
    assert "STRICT_ALL_TABLES" in values[3]
    assert values[4] == "utf8mb4"


def test_the_clock_counts_microseconds_since_1970(database: Database) -> None:
    before = datetime.now(UTC).timestamp() * 1e6
    with database.read() as connection:
        now = connection.scalar(select(now_us()))
    assert isinstance(now, int)
    assert before - 1000 <= now <= datetime.now(UTC).timestamp() * 1e6 + 1000


def test_a_server_that_is_not_there_is_worth_another_try(database: Database) -> None:
    away = Database(make_url(database.text_url).set(port=1).render_as_string(hide_password=False))
    with pytest.raises(DBAPIError) as caught, away.read():
        pass
    assert dialects.is_transient(caught.value)


def test_sites_and_queues_are_made_once_however_many_come_at_once(
    database: Database, tmp_path: Path
) -> None:
    found: list[tuple[int, int]] = []
    start = threading.Barrier(6)

    def join() -> None:
        start.wait()
        with suppress(threading.BrokenBarrierError):
            site = database.retry(lambda c: ensure_site(c, "here", tmp_path, 5.0))
            found.append((site, database.retry(lambda c: ensure_queue(c, site, "cpu"))))

    threads = [threading.Thread(target=join) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 6
    assert len(set(found)) == 1


# -- values ------------------------------------------------------------------------------------


def test_names_that_differ_by_case_are_two_names(database: Database) -> None:
    names = ["HAT-P-32", "hat-p-32", "星", "α Lyr 😀"]
    with database.write() as connection:
        for name in names:
            connection.execute(insert(Target).values(name=name, kind="star"))
        query = select(Target.name).where(Target.name == "hat-p-32")
        assert connection.scalars(query).all() == ["hat-p-32"]
        assert connection.scalars(select(Target.name).order_by(Target.id)).all() == names


def an_image(connection: Any, **values: Any) -> int:
    known = {"kind": "light", "name": "a", "width": 9, "height": 9, "binning": 1, "header": {}}
    key = connection.execute(insert(Image).values(**known | values)).inserted_primary_key
    return int(key[0])


def test_times_json_and_large_bytes_come_back_as_they_were(database: Database) -> None:
    time = datetime(2025, 5, 30, 23, 59, 59, 999999, tzinfo=UTC).replace(tzinfo=None)
    header = {"OBJECT": 'α \\ "Lyr"', "EXPTIME": 0.1, "list": [1, None, True]}
    stars = np.random.default_rng(1).bytes(1_500_000)
    with database.write() as connection:
        image = an_image(connection, utc_mid=time, header=header)
        canvas = dict.fromkeys(("canvas_x0", "canvas_y0", "canvas_width", "canvas_height"), 1)
        connection.execute(
            insert(ReferenceFrame).values(
                run_id=1, image_id=image, stars=stars, limits={}, **canvas
            )
        )
        row = connection.execute(select(Image.utc_mid, Image.header)).one()
        assert tuple(row) == (time, header)
        assert connection.scalar(select(ReferenceFrame.stars)) == stars


def test_what_does_not_fit_is_refused_not_cut(database: Database) -> None:
    with pytest.raises(DBAPIError, match="too long"), database.write() as connection:
        connection.execute(insert(Target).values(name="x" * 191, kind="star"))


@settings(max_examples=50)
@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_doubles_keep_every_bit(server_database: Database, value: float) -> None:
    with server_database.engine.connect() as connection, connection.begin() as transaction:
        connection.execute(insert(Site).values(name="x", root="/", lease_s=value))
        assert connection.scalar(select(Site.lease_s).where(Site.name == "x")) == value
        transaction.rollback()


@settings(max_examples=50)
@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_singles_keep_all_of_their_bits(server_database: Database, value: float) -> None:
    with server_database.engine.connect() as connection, connection.begin() as transaction:
        image = an_image(connection)
        columns = {
            "run_id": [1], "image_id": [image], "aligned_by": [1], "is_aligned": [True],
            "is_stacked": [True], "fwhm_pix": np.array([value]), "airmass": [value],
        }  # fmt: skip
        insert_columns(connection, Frame.__table__, columns)  # type: ignore[arg-type]  # a Table
        row = connection.execute(select(Frame.fwhm_pix, Frame.airmass)).one()
        assert tuple(row) == (value, value)
        transaction.rollback()


def test_a_run_of_the_same_key_is_refused(database: Database) -> None:
    values = {
        "run_key": "k", "recipe": "r", "recipe_version": 1, "parameters": {}, "code_version": "1",
        "created_us": now_us(),
    }  # fmt: skip
    with database.write() as connection:
        connection.execute(insert(Run).values(**values))
    with pytest.raises(DBAPIError, match="Duplicate"), database.write() as connection:
        connection.execute(insert(Run).values(**values))
