"""The references that a run has chosen, read back so that later frames can be compared."""

from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select

from tianyu.pipelines.errors import MissingInputError
from tianyu.pipelines.science.arrays import BoolArray, FloatArray, IntArray
from tianyu.pipelines.science.provisional import KnownReferences
from tianyu.schema.numbers import read_numbers
from tianyu.schema.tables import FluxLevel, ReferenceGroup, ReferenceMember, SourcePhotometry


@dataclass(frozen=True)
class ServedSources:
    """Sources that are compared with the same references in one aperture.

    Attributes
    ----------
    aperture : int
    sources : ndarray of bool, shape (n_source,)
    references : KnownReferences
    """

    aperture: int
    sources: BoolArray
    references: KnownReferences


def load_references(
    connection: Connection, run_id: int, source_id: IntArray, n_aperture: int
) -> list[ServedSources]:
    """Read who is compared with whom, for every aperture.

    Of an ensemble, each aperture has references of its own, which serve every source. Plain
    groups serve their own sources, in all apertures alike; there the sum of fluxes over the sum
    of levels is the mean of ``F / level`` weighted by the levels.

    Parameters
    ----------
    connection : Connection
    run_id : int
    source_id : ndarray of int, shape (n_source,)
        Ascending.
    n_aperture : int

    Raises
    ------
    MissingInputError
        If the run has chosen no references.
    """
    level = _levels(connection, run_id, source_id, n_aperture)
    groups = connection.execute(
        select(ReferenceGroup.id, ReferenceGroup.number, ReferenceGroup.surface_order)
        .where(ReferenceGroup.run_id == run_id)
        .order_by(ReferenceGroup.number)
    ).all()
    weights = _weights(connection, run_id, source_id)
    if not groups or not weights:
        raise MissingInputError(
            f"run {run_id} has chosen no reference stars; its relative photometry must succeed"
        )
    nobody = np.zeros(len(source_id))
    everybody = np.ones(len(source_id), dtype=np.bool_)
    of_source = _groups(connection, run_id, source_id)
    served = []
    for group in groups:
        weight = weights.get(group.id, nobody)
        if group.surface_order is not None:
            column = level[:, group.number]
            known = KnownReferences(column, weight, group.surface_order)
            served.append(ServedSources(group.number, everybody, known))
            continue
        for aperture in range(n_aperture):
            column = level[:, aperture]
            by_light = np.where(weight > 0, np.nan_to_num(column), 0.0)
            known = KnownReferences(column, by_light, 0, is_by_noise=False)
            served.append(ServedSources(aperture, of_source == group.id, known))
    return served


def _levels(
    connection: Connection, run_id: int, source_id: IntArray, n_aperture: int
) -> FloatArray:
    columns = FluxLevel.__table__.c
    others = [columns.aperture, columns.level]
    table = read_numbers(connection, [columns.source_id], others, FluxLevel.run_id == run_id)
    level = np.full((len(source_id), n_aperture), np.nan)
    place = _places(table[:, 0].astype(np.int64), source_id)
    aperture = table[:, 1].astype(np.int64)
    fits = (place >= 0) & (aperture < n_aperture)
    level[place[fits], aperture[fits]] = table[fits, 2]
    return level


def _weights(connection: Connection, run_id: int, source_id: IntArray) -> dict[int, FloatArray]:
    query = (
        select(ReferenceMember.group_id, ReferenceMember.source_id, ReferenceMember.weight)
        .join(ReferenceGroup, ReferenceGroup.id == ReferenceMember.group_id)
        .where(ReferenceGroup.run_id == run_id)
    )
    weights: dict[int, FloatArray] = {}
    index = {int(source): i for i, source in enumerate(source_id)}
    for row in connection.execute(query):
        if row.source_id in index:
            of_group = weights.setdefault(row.group_id, np.zeros(len(source_id)))
            of_group[index[row.source_id]] = row.weight
    return weights


def _groups(connection: Connection, run_id: int, source_id: IntArray) -> IntArray:
    query = select(SourcePhotometry.source_id, SourcePhotometry.group_id).where(
        SourcePhotometry.run_id == run_id
    )
    group_of = {row.source_id: row.group_id for row in connection.execute(query)}
    return np.array([group_of.get(int(source)) or 0 for source in source_id])


def _places(wanted: IntArray, source_id: IntArray) -> IntArray:
    """Return the index of each wanted source, −1 where it is not there."""
    place = np.minimum(np.searchsorted(source_id, wanted), len(source_id) - 1)
    return np.where(source_id[place] == wanted, place, -1)
