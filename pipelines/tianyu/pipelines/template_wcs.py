"""World coordinates of a template: of the headers of its frames, or as they were stored."""

import logging
from dataclasses import asdict

from sqlalchemy import Connection, select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.frame_rows import FrameRow
from tianyu.pipelines.science.wcs import LinearWcs
from tianyu.schema.tables import Image, Observation, Reduction, SkyWcs

logger = logging.getLogger(__name__)

_FIELDS = ("crval1_deg", "crval2_deg", "crpix1", "crpix2", "cd11", "cd12", "cd21", "cd22")


def wcs_of_headers(context: StepContext, frames: list[FrameRow]) -> LinearWcs | None:
    """Carry the WCS of the first good frame that has one to the template's pixels."""
    ids = [frame.image_id for frame in frames if frame.is_good]
    with context.database.read() as connection:
        headers = {
            row.id: row.header
            for start in range(0, len(ids), 500)
            for row in connection.execute(
                select(Image.id, Image.header).where(Image.id.in_(ids[start : start + 500]))
            )
        }
    for frame in frames:
        cards = headers.get(frame.image_id, {}).get("wcs_cards")
        wcs = _wcs_of(frame, cards) if cards else None
        if wcs is not None and frame.transform is not None:
            return wcs.transformed(frame.transform.inverse())
    return None


def stored_wcs(connection: Connection, template_image_id: int) -> LinearWcs | None:
    """Return the solution of a template that is in the database."""
    columns = [SkyWcs.__table__.c[name] for name in _FIELDS]
    query = select(*columns).where(SkyWcs.template_image_id == template_image_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else LinearWcs(*row)


def store_wcs(
    connection: Connection,
    context: StepContext,
    template_image_id: int,
    wcs: LinearWcs,
    origin: str,
    **quality: float | int | None,
) -> None:
    """Insert the solution of a template, with its sky.

    Parameters
    ----------
    connection : Connection
    context : StepContext
    template_image_id : int
    wcs : LinearWcs
        In pixels of the reference frame.
    origin : str
        ``header``, or the name of an index file.
    **quality
        ``rms_arcsec``, ``n_stars`` and ``solved_s``, where it was verified.
    """
    sky_id = connection.execute(
        select(Observation.sky_id)
        .join(Reduction, Reduction.observation_id == Observation.id)
        .where(Reduction.run_id == context.run_id)
    ).scalar_one()
    values = asdict(wcs) | {
        "template_image_id": template_image_id,
        "sky_id": sky_id,
        "birth": context.process_id,
        "origin": origin,
        "pixel_scale_arcsec": wcs.pixel_scale_arcsec,
        **quality,
    }
    connection.execute(SkyWcs.__table__.insert().values(**values))  # type: ignore[attr-defined]  # a Table


def _wcs_of(frame: FrameRow, cards: dict[str, float | str]) -> LinearWcs | None:
    try:
        return LinearWcs.from_header(cards)
    except UnusableDataError as error:
        # One odd header must not take the coordinates from the whole night.
        logger.warning("the WCS of %s is left out: %s", frame.name, error)
        return None
