"""Writing the sources of a template: known ones keep their ids, the others become new."""

from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, insert, select, update

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import MissingInputError
from tianyu.pipelines.known_sources import adopt_known_sources
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
    ids = adopt_known_sources(connection, sky_id, sources.x, sources.y, sources.flux, sources.wcs)
    new = [i for i, source_id in enumerate(ids) if source_id is None]
    first_forced = len(ids) - sources.n_forced
    for i in new:
        result = connection.execute(
            insert(Source).values(
                sky_id=sky_id,
                birth=context.process_id,
                is_forced=i >= first_forced,
                target_id=sources.target_of.get(i),
            )
        )
        key = result.inserted_primary_key
        ids[i] = int(key[0]) if key is not None else None
    for i, target_id in sources.target_of.items():
        if i not in new:
            connection.execute(
                update(Source).where(Source.id == ids[i]).values(target_id=target_id)
            )
    columns = _position_columns(field, targets, sources)
    columns |= {"template_image_id": np.full(len(ids), template_id), "source_id": np.array(ids)}
    insert_columns(connection, SourcePosition.__table__, columns)  # type: ignore[arg-type]  # a Table
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
    xy = np.column_stack([sources.x, sources.y])
    neighbour = nearest_neighbours(xy, 1)[:, 0] if n > 1 else np.full(n, np.nan)
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
        "neighbour_pix": neighbour,
    }
