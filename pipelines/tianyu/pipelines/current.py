"""Which run of an observation is shown, and the common scale of all nights of its sky."""

from collections import defaultdict

import numpy as np
from sqlalchemy import Connection, bindparam, select, update

from tianyu.pipelines.science.joining import NightLevels, join_nights
from tianyu.schema.numbers import read_numbers
from tianyu.schema.tables import FluxLevel, Observation, Reduction, Sky, SourcePhotometry

_SET_SCALE = (
    update(FluxLevel)
    .where(
        FluxLevel.run_id == bindparam("run"),
        FluxLevel.source_id == bindparam("source"),
        FluxLevel.aperture == bindparam("number"),
    )
    .values(scale=bindparam("new_scale"))
)


def make_current(connection: Connection, run_id: int, *, unless_newer: bool = False) -> int | None:
    """Let the view ``light_curve`` show a run; return the one that was shown before.

    The nights of the sky are then brought to one scale again, so that it does not matter in
    which order they were finished.

    Parameters
    ----------
    connection : Connection
        In a transaction.
    run_id : int
        Of an observation, with relative fluxes.
    unless_newer : bool
        Leave a run that was published later; for a run that ends, not for a person's choice.
    """
    observation_id = connection.execute(
        select(Reduction.observation_id).where(Reduction.run_id == run_id)
    ).scalar_one()
    row = connection.execute(
        select(Observation.sky_id, Observation.current_run_id).where(
            Observation.id == observation_id
        )
    ).one()
    if row.sky_id is not None:
        # Two nights that end together would each miss the other.
        connection.execute(select(Sky.id).where(Sky.id == row.sky_id).with_for_update())
    query = select(Observation.current_run_id).where(Observation.id == observation_id)
    before = connection.scalar(query)
    if not (unless_newer and before is not None and before > run_id):
        connection.execute(
            update(Observation)
            .where(Observation.id == observation_id)
            .values(current_run_id=run_id)
        )
        if row.sky_id is not None:
            join_sky(connection, row.sky_id)
    return before


def join_sky(connection: Connection, sky_id: int) -> None:
    """Bring the current runs of a sky to one scale, each filter by itself.

    The observation that was registered first is the measure of the others.
    """
    query = (
        select(Observation.filter_id, Observation.current_run_id)
        .where(Observation.sky_id == sky_id, Observation.current_run_id.is_not(None))
        .order_by(Observation.id)
    )
    runs: defaultdict[int | None, list[int]] = defaultdict(list)
    for row in connection.execute(query):
        runs[row.filter_id].append(row.current_run_id)
    for of_filter in runs.values():
        _join_runs(connection, of_filter)


def _join_runs(connection: Connection, runs: list[int]) -> None:
    read = [(run, *_read(connection, run)) for run in runs]
    read = [item for item in read if len(item[1].source_id)]
    scales = join_nights([levels for _, levels, _ in read])
    for (run, levels, stored), scale in zip(read, scales, strict=True):
        wanted = np.ones_like(stored) if scale is None else scale
        changed = np.isfinite(stored) & (wanted != stored)
        rows = [
            {
                "run": run,
                "source": int(levels.source_id[i]),
                "number": int(aperture),
                "new_scale": float(wanted[i, aperture]),
            }
            for i, aperture in np.argwhere(changed)
        ]
        if rows:
            connection.execute(_SET_SCALE, rows)


def _read(connection: Connection, run: int) -> tuple[NightLevels, np.ndarray]:
    """Return the levels of a run and the scales as they are stored, shape (source, aperture)."""
    columns = FluxLevel.__table__.c
    others = [columns.aperture, columns.level, columns.scale]
    table = read_numbers(connection, [columns.source_id], others, FluxLevel.run_id == run)
    source_id, source = np.unique(table[:, 0].astype(np.int64), return_inverse=True)
    aperture = table[:, 1].astype(np.int64)
    shape = (len(source_id), int(aperture.max(initial=0)) + 1)
    level, scale = np.full(shape, np.nan), np.full(shape, np.nan)
    level[source, aperture], scale[source, aperture] = table[:, 2], table[:, 3]
    serving = select(SourcePhotometry.source_id).where(
        SourcePhotometry.run_id == run, SourcePhotometry.is_reference.is_(True)
    )
    is_reference = np.isin(source_id, list(connection.scalars(serving)))
    return NightLevels(source_id, level, is_reference), scale
