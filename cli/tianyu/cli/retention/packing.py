"""Moving the light curves of a run between rows and packed columns, source by source."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, delete, func, insert, select

from tianyu.cli.words import plural
from tianyu.pipelines.packing import pack_columns, unpack_columns
from tianyu.schema.base import Single
from tianyu.schema.bulk import insert_columns
from tianyu.schema.database import Database
from tianyu.schema.errors import ConfigurationError, NotFoundError
from tianyu.schema.states import TERMINAL, State
from tianyu.schema.tables import Flux, PackedFlux, Process, RelativeFlux

SOURCES_AT_A_TIME = 50
"""One range of the primary key each: some ten thousand rows in a transaction."""

RELATIVE = "relative/"
"""Before the columns of the second table, some of which have the same names."""

_ENDED = sorted(state.value for state in TERMINAL | {State.BLOCKED})
_KEY = ("run_id", "source_id")


def refuse_unfinished(connection: Connection, run: int) -> None:
    """Refuse a run that still writes.

    Raises
    ------
    ConfigurationError
        If one of its processes has not ended.
    """
    query = select(func.count()).where(Process.run_id == run, Process.state.not_in(_ENDED))
    open_ones = int(connection.scalar(query) or 0)
    if open_ones:
        raise ConfigurationError(
            f"run {run} still has {plural(open_ones, 'process', 'processes')} to do; its light "
            "curves can be packed when it has ended, see `tianyu status`"
        )


def count_sources(connection: Connection, run: int) -> tuple[int, int]:
    """Return how many sources of a run have rows, and how many are packed."""
    rows = select(func.count(Flux.source_id.distinct())).where(Flux.run_id == run)
    packed = select(func.count()).where(PackedFlux.run_id == run)
    return int(connection.scalar(rows) or 0), int(connection.scalar(packed) or 0)


def refuse_packed(connection: Connection, run: int) -> None:
    """Refuse a run whose rows somebody needs and that has been packed.

    Raises
    ------
    NotFoundError
        With the command that makes rows of it again.
    """
    if count_sources(connection, run)[1]:
        raise NotFoundError(
            f"the light curves of run {run} are packed, and this looks at rows: "
            f"`tianyu pack --undo {run}` makes rows of them again"
        )


def pack_some(database: Database, run: int) -> int:
    """Pack the next sources of a run in one transaction; return how many, 0 at the end."""

    def work(connection: Connection) -> int:
        sources = _next_sources(connection, Flux, run)
        for source in sources:
            _pack(connection, run, source)
        return len(sources)

    return database.retry(work)


def unpack_some(database: Database, run: int) -> int:
    """Make rows again of the next sources of a run; return how many, 0 at the end."""

    def work(connection: Connection) -> int:
        sources = _next_sources(connection, PackedFlux, run)
        for source in sources:
            _unpack(connection, run, source)
        return len(sources)

    return database.retry(work)


def _next_sources(connection: Connection, table: Any, run: int) -> Sequence[int]:
    query = select(table.source_id).where(table.run_id == run).distinct()
    return connection.scalars(query.order_by(table.source_id).limit(SOURCES_AT_A_TIME)).all()


def _pack(connection: Connection, run: int, source: int) -> None:
    fluxes = _read(connection, Flux.__table__, run, source)  # type: ignore[arg-type]
    relative = _read(connection, RelativeFlux.__table__, run, source)  # type: ignore[arg-type]
    columns = fluxes | {RELATIVE + name: values for name, values in relative.items()}
    connection.execute(
        insert(PackedFlux).values(
            run_id=run,
            source_id=source,
            n_fluxes=len(fluxes["image_id"]),
            n_relative_fluxes=len(relative["image_id"]),
            packed=pack_columns(columns),
        )
    )
    for table in (RelativeFlux, Flux):
        connection.execute(delete(table).where(table.run_id == run, table.source_id == source))


def _unpack(connection: Connection, run: int, source: int) -> None:
    here = (PackedFlux.run_id == run, PackedFlux.source_id == source)
    fluxes, relative = split(
        connection.execute(select(PackedFlux.packed).where(*here)).scalar_one()
    )
    for table, columns in ((Flux, fluxes), (RelativeFlux, relative)):
        n = len(columns["image_id"])
        key = {"run_id": np.full(n, run), "source_id": np.full(n, source)}
        insert_columns(connection, table.__table__, key | columns)  # type: ignore[arg-type]
    connection.execute(delete(PackedFlux).where(*here))


def split(packed: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """Return the columns of ``flux`` and of ``relative_flux``, without run and source."""
    columns = unpack_columns(packed)
    fluxes = {name: v for name, v in columns.items() if not name.startswith(RELATIVE)}
    relative = {name.removeprefix(RELATIVE): v for name, v in columns.items() if name not in fluxes}
    return fluxes, relative


def _read(connection: Connection, table: Table, run: int, source: int) -> dict[str, NDArray[Any]]:
    names = [column for column in table.columns if column.name not in _KEY]
    # By aperture first: neighbours in time resemble each other, neighbours in radius do not.
    query = select(*names).where(table.c.run_id == run, table.c.source_id == source)
    rows = connection.execute(query.order_by(table.c.aperture, table.c.image_id)).all()
    return {
        column.name: np.array(
            [np.nan if row[i] is None else row[i] for row in rows],
            np.float32 if isinstance(column.type, Single) else np.int64,
        )
        for i, column in enumerate(names)
    }
