"""Writing the sources of a template: known ones keep their ids, the others become new."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Connection, select, update

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import MissingInputError
from tianyu.pipelines.known_sources import MATCH_PIX, adopt_known_sources
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.matching import nearest_neighbours
from tianyu.pipelines.science.wcs import standard_coordinates
from tianyu.pipelines.surroundings import FieldCentre
from tianyu.pipelines.targets import TargetPosition, TemplateSources
from tianyu.schema.bulk import insert_columns
from tianyu.schema.tables import Observation, Reduction, Sky, Source, SourcePosition


def write_sources(
    connection: Connection,
    context: StepContext,
    field: FieldCentre,
    targets: Sequence[TargetPosition],
    template_id: int,
    sources: TemplateSources,
) -> None:
    """Match with what is known on this sky and insert the rest, under the sky's lock.

    Two detections on one sky at the same time would otherwise both insert its sources.
    """
    sky_id = _lock_sky(connection, context.run_id)
    n_found = len(sources.x) - sources.n_placed
    x, y, flux = (column[:n_found] for column in (sources.x, sources.y, sources.flux))
    ids = adopt_known_sources(connection, sky_id, x, y, flux, sources.wcs)
    ids += _placed_before(
        connection, sky_id, [sources.target_of[i] for i in range(n_found, len(sources.x))]
    )
    new = [i for i, source_id in enumerate(ids) if source_id is None]
    first_forced = len(ids) - sources.n_forced
    columns: dict[str, Sequence[Any]] = {
        "sky_id": [sky_id] * len(new),
        "birth": [context.process_id] * len(new),
        "is_forced": [i >= first_forced for i in new],
        "target_id": [sources.target_of.get(i) for i in new],
    }
    for i, source_id in zip(new, _insert_sources(connection, sky_id, columns), strict=True):
        ids[i] = source_id
    for i, target_id in sources.target_of.items():
        if i not in new:
            connection.execute(
                update(Source).where(Source.id == ids[i]).values(target_id=target_id)
            )
    positions = _position_columns(field, targets, sources)
    positions |= {"template_image_id": np.full(len(ids), template_id), "source_id": np.array(ids)}
    insert_columns(connection, SourcePosition.__table__, positions)  # type: ignore[arg-type]  # a Table
    connection.execute(
        update(Reduction)
        .where(Reduction.run_id == context.run_id)
        .values(template_image_id=template_id)
    )
    connection.execute(
        update(Sky)
        .where(Sky.id == sky_id, Sky.template_image_id.is_(None))
        .values(template_image_id=template_id)
    )


def _insert_sources(
    connection: Connection, sky_id: int, columns: Mapping[str, Sequence[Any]]
) -> Sequence[int]:
    """Insert sources of a sky, which is locked, all at once; return their ids in their order."""
    n = insert_columns(connection, Source.__table__, columns)  # type: ignore[arg-type]  # a Table
    # Numbers rise from row to row, and nobody else gives any to this sky.
    query = select(Source.id).where(Source.sky_id == sky_id).order_by(Source.id.desc()).limit(n)
    return [int(source_id) for source_id in connection.scalars(query)][::-1]


def _placed_before(
    connection: Connection, sky_id: int, target_ids: Sequence[int]
) -> list[int | None]:
    """Return the sources that positions had on earlier nights: their names make them the same."""
    query = (
        select(Source.target_id, Source.id)
        .where(Source.sky_id == sky_id, Source.is_forced.is_(True))
        .where(Source.target_id.in_(target_ids))
        .order_by(Source.id.desc())
    )
    known = {row.target_id: int(row.id) for row in connection.execute(query)} if target_ids else {}
    return [known.get(target_id) for target_id in target_ids]


def _lock_sky(connection: Connection, run_id: int) -> int:
    query = (
        select(Sky.id)
        .join(Observation, Observation.sky_id == Sky.id)
        .join(Reduction, Reduction.observation_id == Observation.id)
        .where(Reduction.run_id == run_id)
        .with_for_update()
    )
    sky_id = connection.scalar(query)
    if sky_id is None:
        raise MissingInputError(f"run {run_id} reduces no observation of a sky")
    return int(sky_id)


def _position_columns(
    centre: FieldCentre, targets: Sequence[TargetPosition], sources: TemplateSources
) -> dict[str, FloatArray]:
    n, wcs = len(sources.x), sources.wcs
    ra, dec = wcs.to_sky(sources.x, sources.y) if wcs else (np.full(n, np.nan), np.full(n, np.nan))
    if wcs is None:
        # Without a WCS the sky position of the registered targets is still known.
        places = {t.target_id: t for t in targets if t.ra_deg is not None}
        for i, target_id in sources.target_of.items():
            if target_id in places:
                ra[i], dec[i] = places[target_id].ra_deg, places[target_id].dec_deg
    xi, eta = np.full(n, np.nan), np.full(n, np.nan)
    if centre.ra_deg is not None and centre.dec_deg is not None:
        xi, eta = standard_coordinates(ra, dec, centre.ra_deg, centre.dec_deg)
    return {
        "x": sources.x,
        "y": sources.y,
        "ra_deg": ra,
        "dec_deg": dec,
        "xi_deg": xi,
        "eta_deg": eta,
        "flux": sources.flux,
        "peak": sources.peak,
        "fwhm_pix": sources.fwhm_pix,
        "elongation": sources.elongation,
        "snr": sources.snr,
        "neighbour_pix": _neighbour_pix(sources),
    }


def _neighbour_pix(sources: TemplateSources) -> FloatArray:
    """Return the distance of each source to the nearest other one that was *detected*.

    A place that a person gave takes no light from a star beside it. Given on a star, it is that
    star, whose neighbour is the next one.
    """
    n = len(sources.x) - sources.n_forced
    xy = np.column_stack([sources.x, sources.y])
    neighbour = np.full(len(xy), np.nan)
    if n > 1:
        neighbour[:n] = nearest_neighbours(xy[:n], 1)[:, 0]
    for i in range(n, len(xy) if n else 0):
        distance = np.hypot(*(xy[:n] - xy[i]).T)
        others = distance[distance > MATCH_PIX]
        neighbour[i] = others.min(initial=np.inf)
    return neighbour
