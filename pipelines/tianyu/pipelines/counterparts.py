"""What catalogues know of the sources of a run, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, select

from tianyu.pipelines.catalogues.gaia import NAME as GAIA
from tianyu.pipelines.comparing import KnownStars
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.science.arrays import FloatArray, IntArray
from tianyu.schema.tables import CrossMatch, Reduction, SourcePosition
from tianyu.schema.transitions.batches import in_batches


@dataclass(frozen=True)
class CatalogueMagnitudes:
    """Magnitudes and colours of sources in one catalogue, NaN where it has none."""

    catalogue: str
    magnitude: FloatArray
    colour: FloatArray


def known_stars(context: StepContext, source_id: IntArray) -> KnownStars | None:
    """Return variability and distances of the catalogue stars of sources; None without any.

    A source is variable where any catalogue calls its counterpart so; the distances are those
    of one catalogue, Gaia where it was matched.

    Parameters
    ----------
    context : StepContext
    source_id : ndarray of int, shape (n,)
    """
    with context.database.read() as connection:
        rows = _rows(connection, source_id)
    if not rows:
        return None
    place = {int(source): i for i, source in enumerate(source_id)}
    chosen = _preferred({row[1] for row in rows})
    is_variable = np.zeros(len(source_id), dtype=bool)
    distance = np.full((2, len(source_id)), np.nan)
    for source, catalogue, neighbour, separation, variable, _, _ in rows:
        i = place[source]
        if neighbour == 1 and variable:
            is_variable[i] = True
        if catalogue == chosen and neighbour <= 2:
            distance[neighbour - 1, i] = separation
    return KnownStars(is_variable, distance[0], distance[1])


def has_counterparts(context: StepContext) -> bool:
    """Tell whether any source on the template of the run was matched with a catalogue."""
    query = (
        select(CrossMatch.source_id)
        .join(SourcePosition, SourcePosition.source_id == CrossMatch.source_id)
        .join(Reduction, Reduction.template_image_id == SourcePosition.template_image_id)
        .where(Reduction.run_id == context.run_id)
        .limit(1)
    )
    with context.database.read() as connection:
        return connection.scalar(query) is not None


def catalogue_magnitudes(
    context: StepContext, source_id: IntArray, catalogue: str | None
) -> CatalogueMagnitudes | None:
    """Return the magnitudes of the counterparts of sources that are not known to vary.

    Parameters
    ----------
    context : StepContext
    source_id : ndarray of int, shape (n,)
    catalogue : str or None
        None: Gaia where it was matched, else the first by name.
    """
    with context.database.read() as connection:
        rows = _rows(connection, source_id)
    names = {row[1] for row in rows}
    chosen = catalogue or (_preferred(names) if names else None)
    if chosen is None or chosen not in names:
        return None
    place = {int(source): i for i, source in enumerate(source_id)}
    magnitude, colour = np.full((2, len(source_id)), np.nan)
    for source, name, neighbour, _, variable, mag, col in rows:
        if name == chosen and neighbour == 1 and not variable:
            i = place[source]
            magnitude[i] = np.nan if mag is None else mag
            colour[i] = np.nan if col is None else col
    return CatalogueMagnitudes(chosen, magnitude, colour)


def _preferred(names: set[str]) -> str:
    return GAIA if GAIA in names else min(names)


def _rows(connection: Connection, source_id: IntArray) -> Sequence[tuple]:  # type: ignore[type-arg]  # as the database gives them
    columns = (
        CrossMatch.source_id,
        CrossMatch.catalogue,
        CrossMatch.neighbour,
        CrossMatch.separation_arcsec,
        CrossMatch.is_variable,
        CrossMatch.magnitude,
        CrossMatch.colour,
    )
    return [
        tuple(row)
        for ids in in_batches([int(source) for source in source_id])
        for row in connection.execute(select(*columns).where(CrossMatch.source_id.in_(ids)))
    ]
