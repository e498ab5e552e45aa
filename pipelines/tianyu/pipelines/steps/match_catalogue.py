"""Match the sources of the template with a star catalogue: Gaia DR3, or a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import Field
from sqlalchemy import Connection, delete, func, select

from tianyu.pipelines.catalogues.files import read_catalogue_file
from tianyu.pipelines.catalogues.gaia import ARCHIVE_URL, Cone, default_cache, gaia_stars
from tianyu.pipelines.catalogues.stars import CatalogueStars
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import PermanentError
from tianyu.pipelines.products import Products
from tianyu.pipelines.run_notes import tell
from tianyu.pipelines.science.arrays import FloatArray, IntArray
from tianyu.pipelines.science.crossmatch import (
    Neighbours,
    move_to_epoch,
    nearest_stars,
    unit_vectors,
)
from tianyu.pipelines.step import StepParameters, step
from tianyu.schema.bulk import insert_columns
from tianyu.schema.settings import load_settings
from tianyu.schema.tables import CrossMatch, Frame, Reduction, Sky, SkyWcs, SourcePosition
from tianyu.schema.transitions.batches import in_batches

NONE, GAIA = "none", "gaia"

MATCH_ARCSEC = 2.0
MATCH_PIX = 1.5
"""A linear solution of a camera with some distortion is off by a pixel in its corners."""

SEARCH_ARCSEC = 60.0
"""Further stars are no neighbours."""


class MatchCatalogue(StepParameters):
    """Parameters of the match."""

    catalogue: str = Field(NONE, description="none, gaia, or the path of a table")
    columns: Mapping[str, str] = Field(
        default_factory=dict, description='columns of a file, such as {"magnitude": "MAG_VT"}'
    )
    epoch: float | None = Field(
        None, ge=1800, le=2200, description="of a file's positions, Julian years; None: 2000"
    )
    faint_limit_mag: float = Field(18.0, description="of Gaia's stars, G")
    archive_url: str = Field(ARCHIVE_URL, description="TAP service that has Gaia DR3")


@dataclass(frozen=True)
class _Field:
    """Sources of a template on the sky, and the middle of the night in Julian years."""

    sky_id: int
    source_id: IntArray
    ra_deg: FloatArray
    dec_deg: FloatArray
    scale_arcsec: float | None
    epoch: float


@step(
    "match_catalogue",
    parameters=MatchCatalogue,
    reads=("source_position",),
    writes=("cross_match",),
)
def match_catalogue(parameters: MatchCatalogue, context: StepContext) -> Products:
    """Give every source its three nearest catalogue stars, or say why it has none."""
    products = Products()
    if parameters.catalogue == NONE:
        tell(products, context.run_id, catalogue="none was asked for")
        return products
    field = _load(context)
    if not len(field.source_id):
        words = "not matched: the sources have no sky coordinates"
        tell(products, context.run_id, catalogue=words)
        return products
    try:
        stars, origin = _stars(parameters, field)
    except PermanentError as error:
        # The photometry does not need it.
        tell(products, context.run_id, catalogue=f"not matched: {error}")
        return products
    ra, dec = move_to_epoch(
        stars.ra_deg, stars.dec_deg, stars.pm_ra_mas, stars.pm_dec_mas, field.epoch - stars.epoch
    )
    found = nearest_stars(
        field.ra_deg,
        field.dec_deg,
        ra,
        dec,
        match_arcsec=max(MATCH_ARCSEC, MATCH_PIX * (field.scale_arcsec or 0.0)),
        search_arcsec=SEARCH_ARCSEC,
    )
    products.then(lambda c: _write(c, field, stars, found, ra, dec))
    first = found.separation_arcsec[found.number == 1]
    words = f"{stars.name} ({origin}): {len(first)} of {len(field.source_id)} sources are in it"
    if len(first):
        words += f", median separation {float(np.median(first)):.2f}″"
    tell(products, context.run_id, catalogue=words)
    return products


def _stars(parameters: MatchCatalogue, field: _Field) -> tuple[CatalogueStars, str]:
    if parameters.catalogue != GAIA:
        path = Path(parameters.catalogue)
        stars = read_catalogue_file(path, columns=parameters.columns, epoch=parameters.epoch)
        return stars, f"{len(stars)} stars of {path.name}"
    folder = load_settings().catalogue_cache
    stars, is_cached = gaia_stars(
        _cone(field),
        Path(folder) if folder else default_cache(),
        faint_limit_mag=parameters.faint_limit_mag,
        url=parameters.archive_url,
    )
    return stars, f"{len(stars)} stars, {'from the cache' if is_cached else 'from the archive'}"


def _cone(field: _Field) -> Cone:
    """Return the circle that holds all sources."""
    vectors = unit_vectors(field.ra_deg, field.dec_deg)
    x, y, z = vectors.mean(axis=0)
    ra, dec = np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))
    centre = unit_vectors(np.array([ra]), np.array([dec]))[0]
    radius = np.degrees(2.0 * np.arcsin(np.linalg.norm(vectors - centre, axis=1).max() / 2.0))
    return Cone(float(ra), float(dec), float(radius) + SEARCH_ARCSEC / 3600.0)


def _load(context: StepContext) -> _Field:
    template = select(Reduction.template_image_id).where(Reduction.run_id == context.run_id)
    positions = (
        select(SourcePosition.source_id, SourcePosition.ra_deg, SourcePosition.dec_deg)
        .where(SourcePosition.template_image_id == template.scalar_subquery())
        .where(SourcePosition.ra_deg.is_not(None), SourcePosition.dec_deg.is_not(None))
        .order_by(SourcePosition.source_id)
    )
    wcs = select(SkyWcs.sky_id, SkyWcs.pixel_scale_arcsec)
    wcs = wcs.where(SkyWcs.template_image_id == template.scalar_subquery())
    mid = select(func.avg(Frame.jd_utc_mid)).where(Frame.run_id == context.run_id)
    with context.database.read() as connection:
        solution = connection.execute(wcs).one_or_none()
        # Without a solution only the registered targets have coordinates: nothing to compare.
        rows = [] if solution is None else connection.execute(positions).all()
        jd = connection.scalar(mid)
    return _Field(
        sky_id=0 if solution is None else solution.sky_id,
        source_id=np.array([row.source_id for row in rows], dtype=np.int64),
        ra_deg=np.array([row.ra_deg for row in rows], dtype=np.float64),
        dec_deg=np.array([row.dec_deg for row in rows], dtype=np.float64),
        scale_arcsec=None if solution is None else solution.pixel_scale_arcsec,
        epoch=2000.0 if jd is None else 2000.0 + (float(jd) - 2451545.0) / 365.25,
    )


def _write(
    connection: Connection,
    field: _Field,
    stars: CatalogueStars,
    found: Neighbours,
    ra_deg: FloatArray,
    dec_deg: FloatArray,
) -> None:
    """Replace what an earlier run found for these sources in this catalogue."""
    connection.execute(select(Sky.id).where(Sky.id == field.sky_id).with_for_update())
    for ids in in_batches([int(source_id) for source_id in field.source_id]):
        connection.execute(
            delete(CrossMatch).where(
                CrossMatch.catalogue == stars.name, CrossMatch.source_id.in_(ids)
            )
        )
    star = found.star
    flags = [None if np.isnan(flag) else bool(flag) for flag in stars.is_variable[star]]
    columns = {
        "source_id": field.source_id[found.source],
        "catalogue": [stars.name] * len(star),
        "neighbour": found.number,
        "catalogue_id": [str(name)[:64] for name in stars.id[star]],
        "separation_arcsec": found.separation_arcsec,
        "ra_deg": ra_deg[star],
        "dec_deg": dec_deg[star],
        "magnitude": stars.magnitude[star],
        "colour": stars.colour[star],
        "is_variable": flags,
    }
    insert_columns(connection, CrossMatch.__table__, columns)  # type: ignore[arg-type]  # a Table
