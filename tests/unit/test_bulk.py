"""Writing many rows from arrays: what goes in comes out, NaN as NULL."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    MetaData,
    String,
    Table,
    select,
)

from tianyu.schema.bulk import insert_columns, plain
from tianyu.schema.database import Database, sqlite_url

SAMPLE = Table(
    "sample",
    MetaData(),
    Column("number", BigInteger),
    Column("value", Double),
    Column("is_good", Boolean),
    Column("time", DateTime),
    Column("header", JSON),
    Column("rank", String(20)),  # a reserved word in MySQL 8
)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(sqlite_url(tmp_path_factory.mktemp("bulk") / "bulk.sqlite"))
    with database.write() as connection:
        SAMPLE.create(connection)
    yield database
    database.dispose()


def round_trip(database: Database, columns: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Insert columns and read them back, then leave the table as it was."""
    with database.engine.connect() as connection, connection.begin() as transaction:
        assert insert_columns(connection, SAMPLE, columns) == len(next(iter(columns.values())))
        rows = connection.execute(select(*(SAMPLE.c[name] for name in columns))).all()
        transaction.rollback()
    return [tuple(row) for row in rows]


def test_columns_become_rows(database: Database) -> None:
    columns = {"number": np.array([1, 2**62]), "value": np.array([0.5, -1e300])}
    assert round_trip(database, columns) == [(1, 0.5), (2**62, -1e300)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_what_is_no_number_becomes_null(database: Database, dtype: type) -> None:
    values = np.array([1.5, np.nan, np.inf, -np.inf], dtype)
    assert round_trip(database, {"value": values}) == [(1.5,), (None,), (None,), (None,)]


@given(st.lists(st.none() | st.floats(width=32)))
def test_lists_and_arrays_are_written_alike(database: Database, values: list[float | None]) -> None:
    if not values:
        return
    array = np.array([np.nan if v is None else v for v in values], np.float32)
    as_list = round_trip(database, {"value": values})
    assert round_trip(database, {"value": array}) == as_list
    assert as_list == [(None if v is None or not np.isfinite(v) else v,) for v in values]


def test_numpy_scalars_in_a_list_are_plain(database: Database) -> None:
    columns = {
        "number": [np.int64(3), np.uint8(4)],
        "value": [np.float32(0.25), np.float64("nan")],
        "is_good": [np.bool_(True), None],
    }
    assert round_trip(database, columns) == [(3, 0.25, True), (4, None, None)]


def test_an_array_of_truths(database: Database) -> None:
    assert round_trip(database, {"is_good": np.array([True, False])}) == [(True,), (False,)]


def test_times_and_json_are_written_as_their_columns_want_them(database: Database) -> None:
    # A whole second, and one with microseconds: both must come back.
    start = datetime(2025, 5, 30, 4, 0, 0, tzinfo=UTC).replace(tzinfo=None)
    times = [start, start + timedelta(microseconds=7), None]
    headers = [{"EXPTIME": 30.0}, {"OBJECT": "α Lyr", "GAIN": None}, None]
    columns = {"time": times, "header": headers}
    assert round_trip(database, columns) == list(zip(times, headers, strict=True))


def test_columns_may_have_the_names_of_keywords(database: Database) -> None:
    assert round_trip(database, {"rank": ["first"]}) == [("first",)]


def test_no_rows_are_no_rows(database: Database) -> None:
    assert round_trip(database, {"number": [], "value": np.array([])}) == []
    with database.write() as connection:
        assert insert_columns(connection, SAMPLE, {}) == 0


def test_many_rows_go_in_several_statements(database: Database) -> None:
    n = 1234
    columns = {
        "number": np.arange(n),
        "value": np.arange(n) / 7.0,
        "rank": [str(i) for i in range(n)],
    }
    expected = [(i, i / 7.0, str(i)) for i in range(n)]
    assert round_trip(database, columns) == expected


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"number": [1], "nummer": [1]}, "table sample has no column nummer"),
        ({"number": [1, 2], "value": [1.0]}, "columns for sample differ in length"),
        ({"value": np.zeros((2, 2))}, r"one dimension, not shape \(2, 2\)"),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    database: Database, columns: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint), database.write() as connection:
        insert_columns(connection, SAMPLE, columns)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(np.int32(3), 3), (np.nan, None), (np.float32("inf"), None), ("nan", "nan"), (None, None)],
)
def test_plain_scalars(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert not isinstance(plain(value), np.generic)


def test_the_array_of_the_caller_is_left_alone(database: Database) -> None:
    values = np.array([1.0, np.nan])
    round_trip(database, {"value": values})
    assert np.isnan(values[1])
