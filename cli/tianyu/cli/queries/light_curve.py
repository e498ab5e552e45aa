"""Reading light curves from the views."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, FromClause, Row, TableClause, column, select, table
from sqlalchemy.sql.elements import quoted_name

from tianyu.cli.curves.columns import COLUMNS, STACK_COLUMNS, Kind, ViewColumn
from tianyu.cli.curves.light_curve import LightCurve
from tianyu.cli.queries.packed import packed_view
from tianyu.cli.queries.source_search import FoundSource
from tianyu.schema.errors import NotFoundError
from tianyu.schema.tables import Observation, Reduction, Source, StackEpoch


def _view(name: str, columns: Sequence[ViewColumn] = COLUMNS) -> TableClause:
    # Quoted, since dec and filter are words of SQL in some servers.
    return table(name, *(column(quoted_name(c.name, True), c.kind.sql_type) for c in columns))


CURRENT = _view("light_curve")
"""What each observation's current run measured."""
ALL = _view("light_curve_all")
"""What every run measured."""
STACKS = _view("stack_light_curve", STACK_COLUMNS)
"""What each observation's current run measured on stacks."""
ALL_STACKS = _view("stack_light_curve_all", STACK_COLUMNS)
"""What every run measured on stacks."""


def read_light_curve(
    connection: Connection,
    found: FoundSource,
    *,
    observation_id: int | None = None,
    run: int | None = None,
    all_radii: bool = False,
    time_scale: str | None = None,
) -> LightCurve:
    """Return the points of a source, several nights joined, in the order of time.

    Parameters
    ----------
    connection : Connection
    found : FoundSource
    observation_id : int, optional
        Of this observation only.
    run : int, optional
        By this run, whether or not it is the current one.
    all_radii : bool
        Every aperture, not the one chosen for the source.
    time_scale : str, optional
        On stacks of this name, such as ``5 frames``, and not on single frames.

    Raises
    ------
    NotFoundError
        If there is no point; the text says what to try.
    """
    runs = _current_runs(connection, found) if run is None else [run]
    of_stacks = time_scale is not None
    columns = STACK_COLUMNS if of_stacks else COLUMNS
    view = (STACKS if of_stacks else CURRENT) if run is None else (ALL_STACKS if of_stacks else ALL)
    views: list[FromClause] = [view]
    packed = None if of_stacks else packed_view(connection, runs, found.source_ids)
    if packed is not None:
        views.append(packed)
    rows = list[Row[Any]]()
    for one in views:
        # The runs are named, since fluxes are clustered by run and source: without them SQLite
        # reads the whole table.
        query = select(one).where(one.c.run_id.in_(runs), one.c.source_id.in_(found.source_ids))
        if observation_id is not None:
            query = query.where(one.c.observation_id == observation_id)
        if time_scale is not None:
            query = query.where(one.c.time_scale == time_scale)
        if not all_radii:
            query = query.where(one.c.is_default_radius == 1)
        order = one.c.jd_utc_mid, one.c.image_id, one.c.source_id, one.c.radius_pix
        rows += connection.execute(query.order_by(*order)).all()
    if packed is not None:
        rows.sort(key=_in_time)
    if not rows:
        if time_scale is not None:
            raise NotFoundError(_no_stacks(connection, found, runs, time_scale))
        raise NotFoundError(_nothing(found, run, all_radii))
    return LightCurve(
        columns={c.name: _values(c, rows, i) for i, c in enumerate(columns)},
        flux_unit=_flux_unit(connection, runs),
        how=found.how if time_scale is None else f"{found.how}, stacks of {time_scale}",
        view_columns=columns,
    )


def _in_time(row: Row[Any]) -> tuple[Any, ...]:
    return (row.jd_utc_mid or 0.0, row.image_id, row.source_id, row.radius_pix)


def _current_runs(connection: Connection, found: FoundSource) -> list[int]:
    """Return the current runs of all observations of the fields that the sources lie in."""
    fields = select(Source.sky_id).where(Source.id.in_(found.source_ids))
    query = (
        select(Observation.current_run_id)
        .where(Observation.sky_id.in_(fields), Observation.current_run_id.is_not(None))
        .order_by(Observation.current_run_id)
    )
    return [int(run) for run in connection.scalars(query) if run is not None]


def _values(of: ViewColumn, rows: Sequence[Row[Any]], index: int) -> NDArray[Any]:
    values = [row[index] for row in rows]
    if of.kind is Kind.TEXT:
        return np.array(["" if value is None else value for value in values], dtype=np.str_)
    if of.kind is Kind.TIME:
        return np.array(["NaT" if value is None else value for value in values], of.kind.dtype)
    if of.kind in {Kind.DOUBLE, Kind.SINGLE}:
        return np.array([np.nan if value is None else value for value in values], of.kind.dtype)
    return np.array(values, of.kind.dtype)


def _flux_unit(connection: Connection, runs: Sequence[int]) -> str | None:
    query = select(Reduction.flux_unit).where(Reduction.run_id.in_(runs)).distinct()
    units = connection.scalars(query).all()
    return units[0] if len(units) == 1 else None


def _no_stacks(
    connection: Connection, found: FoundSource, runs: Sequence[int], time_scale: str
) -> str:
    query = select(StackEpoch.time_scale).where(StackEpoch.run_id.in_(runs)).distinct()
    known = sorted(connection.scalars(query))
    hint = (
        f"there are {', '.join(known)}"
        if known
        else "it has none: publish with --stack-light-curves"
    )
    return f"{found.how} has no light curve on stacks of {time_scale} (run {runs}); {hint}"


def _nothing(found: FoundSource, run: int | None, all_radii: bool) -> str:
    where = "the current runs" if run is None else f"run {run}"
    hint = (
        "`tianyu run list` shows the runs; a run that is not current needs --run"
        if all_radii
        else "no radius may have been chosen for it (no relative photometry): try --all-radii; "
        "a run that is not current needs --run"
    )
    return f"{where} hold no point of {found.how}; {hint}"
