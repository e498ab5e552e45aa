"""What a plan is made from: an observation, its raw frames in order, and their masters."""

from collections.abc import Sequence
from statistics import median_low
from typing import Any

from sqlalchemy import Connection, Row, select

from tianyu.publisher.graph import ADOPTION_STEP
from tianyu.publisher.masters import FrameProperties, MatchedMasters, julian_date, match_masters
from tianyu.publisher.recipe import Stage
from tianyu.schema.errors import GraphError, NotFoundError
from tianyu.schema.tables import Image, ImageCopy, Instrument, Observation, Process, Site
from tianyu.schema.transitions.batches import in_batches

_WANTED_MASTERS = {
    "bias": (),
    "dark": ("bias",),
    "flat": ("bias", "dark"),
    "light": ("bias", "dark", "flat"),
}


def read_observation(connection: Connection, observation_id: int) -> Row[Any]:
    """Return the row of an observation, with the default recipe of its instrument.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    query = (
        select(Observation.__table__, Instrument.default_recipe)
        .join(Instrument, Instrument.id == Observation.instrument_id)
        .where(Observation.id == observation_id)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no observation {observation_id}; register one first")
    return row


def read_frames(connection: Connection, observation: Row[Any], site_id: int) -> list[Row[Any]]:
    """Return the raw frames of an observation in the order of their exposures.

    Raises
    ------
    GraphError
        If there are none, or some have no copy at the site.
    NotFoundError
        If there is no such site.
    """
    if connection.scalar(select(Site.id).where(Site.id == site_id)) is None:
        raise NotFoundError(f"there is no site {site_id}; make it first")
    query = (
        select(Image.__table__, ImageCopy.path)
        .outerjoin(ImageCopy, (ImageCopy.image_id == Image.id) & (ImageCopy.site_id == site_id))
        .where(Image.observation_id == observation.id, Image.birth.is_(None))
        .order_by(Image.utc_start, Image.id)
    )
    frames = list(connection.execute(query))
    if not frames:
        raise GraphError(f"observation {observation.name!r} has no frames; register some first")
    elsewhere = [frame for frame in frames if frame.path is None]
    if elsewhere:
        raise GraphError(
            f"{len(elsewhere)} of {len(frames)} frames of observation {observation.name!r}, "
            f"{elsewhere[0].name} first, have no copy at site {site_id}; register them "
            "there, or bring them: tianyu transfer"
        )
    return frames


def find_masters(
    connection: Connection, observation: Row[Any], frames: list[Row[Any]], site_id: int
) -> MatchedMasters:
    """Return the masters that calibrate frames of an observation."""
    exposures = [frame.exposure_s for frame in frames if frame.exposure_s is not None]
    times = [julian_date(frame.utc_start) for frame in frames if frame.utc_start is not None]
    properties = FrameProperties(
        instrument_id=observation.instrument_id,
        site_id=site_id,
        filter_id=observation.filter_id,
        width=frames[0].width,
        height=frames[0].height,
        binning=frames[0].binning,
        # Of mixed exposures the usual one: a value that some frame has.
        exposure_s=median_low(exposures) if exposures else None,
        jd=(min(times) + max(times)) / 2.0 if times else None,
        gain_e_per_adu=frames[0].header.get("gain_e_per_adu"),
        gain_setting=frames[0].header.get("gain_setting"),
        has_overscan="overscan_section" in frames[0].header,
    )
    return match_masters(connection, properties, wanted=_WANTED_MASTERS[observation.kind])


def frames_of_run(connection: Connection, run_id: int, stages: Sequence[Stage]) -> list[Row[Any]]:
    """Return the frames that a run was published with, in their order.

    Raises
    ------
    GraphError
        If there are none left.
    """
    commands = [ADOPTION_STEP, *(stage.step for stage in stages)]
    query = select(Process.parameters).where(
        Process.run_id == run_id, Process.command.in_(commands)
    )
    processes = connection.scalars(query).all()
    ids = {i for values in processes for i in values.get("frames", ())}
    if ids:
        return _in_order(connection, sorted(ids))
    # All that names a frame may have been taken over.
    sources = [values["source_run"] for values in processes if "source_run" in values]
    if not sources:
        raise GraphError(f"run {run_id} has no frames left; publish the observation anew")
    return frames_of_run(connection, sources[0], stages)


def _in_order(connection: Connection, image_ids: Sequence[int]) -> list[Row[Any]]:
    rows = [
        row
        for ids in in_batches(image_ids)
        for row in connection.execute(select(Image.__table__).where(Image.id.in_(ids)))
    ]
    return sorted(rows, key=lambda row: (row.utc_start is not None, row.utc_start or 0, row.id))
