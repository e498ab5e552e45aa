"""Bulk loading: the same rows whether the server reads a file or parses statements."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from tests.servers.mariadb import execute

from tianyu.schema import loadfile, numbers
from tianyu.schema.bulk import insert_columns
from tianyu.schema.database import Database
from tianyu.schema.dialects import bulk_insert
from tianyu.schema.numbers import read_numbers
from tianyu.schema.tables import Dependency, Flux, Image, ReferenceMember

FLUX = Flux.__table__
N = loadfile.LEAST_ROWS


@contextmanager
def undone(database: Database) -> Iterator[Connection]:
    with database.engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def both_ways(
    database: Database, table: Any, columns: dict[str, Any], order: str, least: int = 1
) -> list[list[tuple[Any, ...]]]:
    """Insert columns as a file and as statements; return what the table then holds."""
    tables = []
    for by_file in (True, False):
        with undone(database) as connection, pytest.MonkeyPatch.context() as patch:
            patch.setattr(loadfile, "LEAST_ROWS", least)
            patch.setitem(connection.info, loadfile.SUPPORT, by_file)
            assert insert_columns(connection, table, columns) == len(columns[order])
            query = select(*(table.c[name] for name in columns)).order_by(table.c[order])
            tables.append([tuple(row) for row in connection.execute(query)])
    return tables


def fluxes(values: Sequence[float]) -> dict[str, Any]:
    n = len(values)
    return {
        "run_id": np.full(n, 1), "source_id": np.arange(n), "image_id": np.full(n, 2**31 - 1),
        "aperture": np.zeros(n, np.int16), "radius_pix": np.full(n, 2.1),
        "flux": np.array(values, np.float64), "flux_error": np.array(values, np.float32),
        "flags": np.arange(n, dtype=np.uint16),
    }  # fmt: skip


# -- the same rows -----------------------------------------------------------------------------


@settings(max_examples=40)
@given(values=st.lists(st.floats(width=32), min_size=1, max_size=30))
def test_singles_with_gaps(server_database: Database, values: list[float]) -> None:
    columns = fluxes(values)
    file, statements = both_ways(server_database, FLUX, columns, "source_id")
    assert file == statements
    expected = [value if math.isfinite(value) else None for value in values]
    assert [row[5] for row in file] == expected
    assert [row[6] for row in file] == expected


@settings(max_examples=40)
@given(values=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=30))
def test_doubles(server_database: Database, values: list[float]) -> None:
    columns = {
        "group_id": [1] * len(values), "source_id": list(range(len(values))),
        "weight": np.array(values), "is_borrowed": np.array(values) > 0,
    }  # fmt: skip
    file, statements = both_ways(server_database, ReferenceMember.__table__, columns, "source_id")
    assert file == statements
    assert [row[2] for row in file] == values


@settings(max_examples=40)
@given(name=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_texts_times_and_json(server_database: Database, name: str) -> None:
    time = datetime(2025, 5, 30, 4, 0, 0, 7, tzinfo=UTC).replace(tzinfo=None)
    columns = {
        "kind": ["light", "flat"], "name": [name, r"\N" + name], "utc_start": [time, None],
        "header": [{"OBJECT": name, "x\ty": "\n\\"}, {}], "width": [2, 1], "height": [1, 1],
        "binning": [1, 1],
    }  # fmt: skip
    file, statements = both_ways(server_database, Image.__table__, columns, "width")
    assert file == statements
    assert file[1][:4] == ("light", name, time, {"OBJECT": name, "x\ty": "\n\\"})
    assert file[0][1] == r"\N" + name


def test_a_large_table_in_several_files(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loadfile, "ROWS_AT_A_TIME", 150)
    file, statements = both_ways(database, FLUX, fluxes(np.linspace(0, 1, 1000)), "source_id", N)
    assert len(file) == 1000
    assert file == statements


# -- which way ---------------------------------------------------------------------------------


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many rows went as a file."""
    counts: list[int] = []
    real = loadfile.load

    def load(connection: Any, table: Any, names: Any, rows: Any) -> None:
        counts.append(len(rows))
        real(connection, table, names, rows)

    monkeypatch.setattr(loadfile, "load", load)
    return counts


def test_many_rows_go_as_a_file_and_few_do_not(database: Database, loaded: list[int]) -> None:
    with undone(database) as connection:
        for first, n in ((0, N - 1), (N, N)):
            edges = [(first + i, first + i + 1) for i in range(n)]
            bulk_insert(connection, Dependency.__table__, ("parent", "child"), edges)  # type: ignore[arg-type]  # a Table
        assert connection.scalar(select(func.count()).select_from(Dependency)) == 2 * N - 1
    assert loaded == [N]


def test_where_the_server_refuses_files_statements_are_sent(
    database: Database, loaded: list[int]
) -> None:
    server = make_url(database.text_url).set(database=None).render_as_string(hide_password=False)
    execute(server, "SET GLOBAL local_infile = OFF")
    other = Database(database.text_url)
    try:
        with undone(other) as connection:
            assert insert_columns(connection, FLUX, fluxes([1.0] * N)) == N  # type: ignore[arg-type]  # a Table
    finally:
        other.dispose()
        execute(server, "SET GLOBAL local_infile = ON")
    assert loaded == []


def test_where_the_url_forbids_files_statements_are_sent(
    database: Database, loaded: list[int]
) -> None:
    other = Database(database.text_url + "&local_infile=0")
    with undone(other) as connection:
        assert insert_columns(connection, FLUX, fluxes([1.0] * N)) == N  # type: ignore[arg-type]  # a Table
    other.dispose()
    assert loaded == []


# -- what a file would hide --------------------------------------------------------------------


def test_a_key_taken_twice_is_an_error_not_a_row_less(database: Database) -> None:
    edges = [(i, i + 1) for i in range(N)]
    with pytest.raises(IntegrityError, match="Duplicate"), undone(database) as connection:
        bulk_insert(connection, Dependency.__table__, ("parent", "child"), [*edges, (3, 4)])  # type: ignore[arg-type]  # a Table


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [("aperture", 40_000, "Out of range"), ("radius_pix", None, "NULL|null")],
)
def test_a_value_that_does_not_fit_is_an_error_not_another_value(
    database: Database, column: str, value: Any, complaint: str
) -> None:
    columns = fluxes([1.0] * N) | {column: [1] * (N - 1) + [value]}
    with pytest.raises(DBAPIError, match=complaint), undone(database) as connection:
        insert_columns(connection, FLUX, columns)  # type: ignore[arg-type]  # a Table


def test_no_file_is_left(database: Database, tmp_path: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(loadfile.tempfile, "tempdir", str(tmp_path))
    with undone(database) as connection:
        insert_columns(connection, FLUX, fluxes([1.0] * N))  # type: ignore[arg-type]  # a Table
    with pytest.raises(DBAPIError), undone(database) as connection:
        insert_columns(connection, FLUX, fluxes([1.0] * N) | {"aperture": [40_000] * N})  # type: ignore[arg-type]  # a Table
    assert list(tmp_path.iterdir()) == []


# -- and back ----------------------------------------------------------------------------------


def read_back(connection: Connection) -> Any:
    """Read all fluxes as the relative photometry does, in the order of their key."""
    columns = [FLUX.c[name] for name in ("source_id", "image_id", "flux", "flux_error", "flags")]
    table = read_numbers(connection, columns[:1], columns[1:], FLUX.c.run_id == 1)
    return table[np.lexsort(table[:, 1::-1].T)]


@given(values=st.lists(st.floats(width=32), min_size=6, max_size=6))
# Its double has more digits than MySQL writes into a text.
@example(values=[-1.7327789746930118e-35] * 6)
@settings(max_examples=40)
def test_numbers_come_back_as_they_went(server_database: Database, values: list[float]) -> None:
    columns = fluxes(values) | {"source_id": np.array([1, 1, 1, 2, 2, 3])}
    columns["image_id"] = np.arange(6)
    with undone(server_database) as connection, pytest.MonkeyPatch.context() as patch:
        insert_columns(connection, FLUX, columns)
        packed = read_back(connection)
        patch.setattr(numbers, "packs_doubles", lambda _: False)
        assert np.array_equal(packed, read_back(connection), equal_nan=True)
    expected = [value if math.isfinite(value) else math.nan for value in values]
    assert np.array_equal(packed[:, 2], expected, equal_nan=True)
    assert np.array_equal(packed[:, 4], np.arange(6))


def test_groups_too_long_for_one_value_are_read_row_by_row(database: Database) -> None:
    with undone(database) as connection:
        columns = fluxes(np.arange(50.0)) | {"source_id": [1] * 50, "image_id": list(range(50))}
        insert_columns(connection, FLUX, columns)
        connection.exec_driver_sql("SET group_concat_max_len = 100")
        assert np.array_equal(read_back(connection)[:, 2], np.arange(50.0))
        connection.exec_driver_sql("SET group_concat_max_len = @@max_allowed_packet")


@given(values=st.lists(st.floats(-1e299, 1e299), min_size=1, max_size=9))
@settings(max_examples=20)
def test_doubles_come_back_with_all_digits(server_database: Database, values: list[float]) -> None:
    n, table = len(values), ReferenceMember.__table__
    columns = {
        "group_id": [1] * n, "source_id": list(range(n)), "weight": np.array(values),
        "is_borrowed": [False] * n,
    }  # fmt: skip
    with undone(server_database) as connection:
        insert_columns(connection, table, columns)  # type: ignore[arg-type]  # a Table
        group, others = [table.c.group_id], [table.c.source_id, table.c.weight]
        both = read_numbers(connection, group, others, table.c.group_id == 1)
        alone = read_numbers(connection, group, others[1:], table.c.group_id == 1)
    assert both[np.argsort(both[:, 1]), 2].tolist() == values
    assert sorted(alone[:, 1].tolist()) == sorted(values)


def test_no_rows_are_an_empty_table(database: Database) -> None:
    with undone(database) as connection:
        assert read_back(connection).shape == (0, 5)
