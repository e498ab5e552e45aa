"""Finding a source: by the name of a target, by its number, by its place."""

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from tianyu.schema.errors import NotFoundError
from tianyu.schema.tables import Reduction, Source, SourcePosition, Target

AT_REACH_ARCSEC = 5.0
"""About the accuracy of coordinates that people type, and of a coarse WCS."""
PIXEL_REACH_PIX = 5.0
"""About as well as a star is pointed at in a picture."""
SHOWN = 8
"""Neighbours or names that an error lists."""


@dataclass(frozen=True)
class FoundSource:
    """Sources that were asked for, and how they were found.

    Attributes
    ----------
    source_ids : tuple of int
        More than one when a target stands in several fields.
    how : str
        In words.
    """

    source_ids: tuple[int, ...]
    how: str


@dataclass(frozen=True)
class _Place:
    source_id: int
    name: str | None
    x: float
    y: float
    ra_deg: float | None
    dec_deg: float | None


def find_by_target(connection: Connection, name: str) -> FoundSource:
    """Return the sources that a registered target is.

    Raises
    ------
    NotFoundError
        If there is no such target, or no source has been recognised as it.
    """
    query = select(Target.id, Target.name).order_by(Target.name)
    targets = {row.id: row.name for row in connection.execute(query)}
    wanted = [i for i, known in targets.items() if known == name]
    wanted = wanted or [i for i, known in targets.items() if _plain(known) == _plain(name)]
    if not wanted:
        raise NotFoundError(f"there is no target {name!r}; {_similar(name, targets.values())}")
    known = targets[wanted[0]]
    query_ids = select(Source.id).where(Source.target_id == wanted[0]).order_by(Source.id)
    ids = tuple(connection.scalars(query_ids))
    if not ids:
        raise NotFoundError(
            f"no source has been recognised as the target {known!r}: its field has not been "
            "reduced yet, or its place in the frames is not known; find it with --at RA,DEC or "
            "--pixel X,Y"
        )
    return FoundSource(ids, f"target {known}")


def find_by_id(connection: Connection, source_id: int) -> FoundSource:
    """Return one source by its number.

    Raises
    ------
    NotFoundError
        If there is none; the text says which numbers exist.
    """
    if connection.scalar(select(Source.id).where(Source.id == source_id)) is None:
        ids = connection.scalars(select(Source.id).order_by(Source.id)).all()
        known = f"{len(ids)} sources, {ids[0]} to {ids[-1]}" if ids else "no source at all"
        raise NotFoundError(f"there is no source {source_id}; the database holds {known}")
    return FoundSource((source_id,), f"source {source_id}")


def find_at(
    connection: Connection, ra_deg: float, dec_deg: float, reach_arcsec: float = AT_REACH_ARCSEC
) -> FoundSource:
    """Return the source nearest to a place on the sky.

    Raises
    ------
    NotFoundError
        If no source has coordinates, or none is near enough; the text lists the nearest.
    """
    everywhere = _places(connection)
    places = [p for p in everywhere if p.ra_deg is not None]
    if not places:
        raise NotFoundError(
            "no source has sky coordinates (no WCS was found for any template); "
            "give --pixel X,Y or --source ID, see `tianyu sources`"
        )
    distances = [(_separation_arcsec(p, ra_deg, dec_deg), p) for p in places]
    where = f"{ra_deg:.6f}, {dec_deg:+.6f}"
    if len(places) < len(everywhere):
        where += f" (sky coordinates are known of {len(places)} of {len(everywhere)} sources)"
    return _nearest(distances, reach_arcsec, where, "″")


def find_at_pixel(
    connection: Connection, run: int, x: float, y: float, reach_pix: float = PIXEL_REACH_PIX
) -> FoundSource:
    """Return the source nearest to a pixel of the template that a run measured at.

    Raises
    ------
    NotFoundError
        If the run has no sources, or none is near enough; the text lists the nearest.
    """
    places = _places(connection, run)
    if not places:
        raise NotFoundError(
            f"run {run} has no sources yet; `tianyu status {run}` says how it stands"
        )
    distances = [(math.hypot(p.x - x, p.y - y), p) for p in places]
    return _nearest(distances, reach_pix, f"pixel {x:g}, {y:g} of the template of run {run}", " px")


def _places(connection: Connection, run: int | None = None) -> list[_Place]:
    """Return where sources stand on the templates of all reductions, or of one run's."""
    query = (
        select(
            SourcePosition.source_id,
            Target.name,
            SourcePosition.x,
            SourcePosition.y,
            SourcePosition.ra_deg,
            SourcePosition.dec_deg,
        )
        .join(Reduction, Reduction.template_image_id == SourcePosition.template_image_id)
        .join(Source, Source.id == SourcePosition.source_id)
        .outerjoin(Target, Target.id == Source.target_id)
        .order_by(SourcePosition.source_id)
    )
    if run is not None:
        query = query.where(Reduction.run_id == run)
    return [
        _Place(row.source_id, row.name, row.x, row.y, row.ra_deg, row.dec_deg)
        for row in connection.execute(query)
    ]


def _nearest(
    distances: Sequence[tuple[float, _Place]], reach: float, where: str, unit: str
) -> FoundSource:
    # One source may stand on several templates; its nearest place counts.
    best: dict[int, tuple[float, _Place]] = {}
    for distance, place in distances:
        if place.source_id not in best or distance < best[place.source_id][0]:
            best[place.source_id] = distance, place
    ranked = sorted(best.values(), key=lambda entry: (entry[0], entry[1].source_id))
    distance, place = ranked[0]
    if distance > reach:
        listed = ", ".join(_describe(d, p, unit) for d, p in ranked[:SHOWN])
        raise NotFoundError(
            f"no source within {reach:g}{unit} of {where}; the nearest: {listed}; "
            "widen the search with --within"
        )
    return FoundSource(
        (place.source_id,), f"source {place.source_id}, {distance:.2f}{unit} from {where}"
    )


def _describe(distance: float, place: _Place, unit: str) -> str:
    name = f" ({place.name})" if place.name else ""
    return (
        f"source {place.source_id}{name} at {place.x:.1f}, {place.y:.1f}, {distance:.1f}{unit} away"
    )


def _separation_arcsec(place: _Place, ra_deg: float, dec_deg: float) -> float:
    """Return the angle between two directions by the haversine formula, exact when small."""
    dec_1, dec_2 = math.radians(place.dec_deg or 0.0), math.radians(dec_deg)
    half_dec = math.sin((dec_2 - dec_1) / 2.0)
    half_ra = math.sin(math.radians(ra_deg - (place.ra_deg or 0.0)) / 2.0)
    square = half_dec**2 + math.cos(dec_1) * math.cos(dec_2) * half_ra**2
    return 3600.0 * math.degrees(2.0 * math.asin(min(1.0, math.sqrt(square))))


def _plain(name: str) -> str:
    """Return a name without what people write differently: case, blanks, hyphens."""
    return "".join(c for c in name.casefold() if c.isalnum())


def _similar(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=SHOWN, cutoff=0.5)
    if close:
        return f"did you mean {', '.join(close)}?"
    if names:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return f"there are: {', '.join(names[:SHOWN])}{more}"
    return "no target is registered"
