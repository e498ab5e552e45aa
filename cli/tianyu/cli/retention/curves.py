"""Removing the light curves of a run that another one has superseded; only when asked to."""

from typing import Any

from sqlalchemy import Connection, delete, func, select

from tianyu.schema.database import Database
from tianyu.schema.tables import (
    Flux,
    FluxLevel,
    Magnitude,
    PackedFlux,
    RelativeFlux,
    SourcePhotometry,
    StackFlux,
    StackRelativeFlux,
)

TABLES: tuple[Any, ...] = (
    Magnitude,
    StackRelativeFlux,
    StackFlux,
    RelativeFlux,
    Flux,
    PackedFlux,
    FluxLevel,
    SourcePhotometry,
)
"""In the order in which they go: after an interruption no ratio is without its flux."""

SOURCES_AT_A_TIME = 50
"""One range of the primary key each: some ten thousand rows in a transaction."""


def count_rows(connection: Connection, run: int) -> dict[str, int]:
    """Return how many rows a run has in each table of light curves."""
    return {
        table.__tablename__: int(
            connection.scalar(select(func.count()).select_from(table).where(table.run_id == run))
            or 0
        )
        for table in TABLES
    }


def remove_rows(database: Database, run: int) -> None:
    """Delete the light curves of a run; safe to interrupt and to repeat."""
    for table in TABLES:
        while database.retry(lambda c, t=table: _remove_some(c, t, run)):  # type: ignore[misc]  # mypy cannot infer a default
            pass


def _remove_some(connection: Connection, table: Any, run: int) -> int:
    query = select(table.source_id).where(table.run_id == run).distinct().limit(SOURCES_AT_A_TIME)
    sources = list(connection.scalars(query))
    if sources:
        chosen = (table.run_id == run, table.source_id.in_(sources))
        connection.execute(delete(table).where(*chosen))
    return len(sources)
