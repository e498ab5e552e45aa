"""Bringing the raw frames of an observation to another site, by processes like any other."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, exists, func, select
from sqlalchemy.orm import aliased

from tianyu.pipelines.step import find_step, validate
from tianyu.publisher.collisions import retry_collisions
from tianyu.publisher.graph import chunks
from tianyu.publisher.transfers import TRANSFER
from tianyu.schema.database import Database
from tianyu.schema.directory import code_version, ensure_queue
from tianyu.schema.errors import GraphError, NotFoundError
from tianyu.schema.pid import PidFactory
from tianyu.schema.tables import Image, ImageCopy, Observation, Site
from tianyu.schema.transitions.publish import (
    ProcessSpec,
    RunSpec,
    find_run,
    insert_graph,
    insert_run,
    run_key,
)

VERSION = 1
FRAMES_EACH = 16
"""Frames per process: their copies are noted together when the last has come."""

_PIDS = PidFactory()


@dataclass(frozen=True)
class Bringing:
    """Frames on their way to a site.

    Attributes
    ----------
    run_id : int or None
        None: all of them are there.
    is_new : bool
        False: they were on their way already.
    """

    run_id: int | None
    n_frames: int
    n_processes: int
    is_new: bool


def bring_frames(
    database: Database, observation_id: int, site_id: int, *, priority: int = 100
) -> Bringing:
    """Publish processes that bring the raw frames of an observation to a site.

    Parameters
    ----------
    database : Database
    observation_id : int
    site_id : int
        Where to; frames that have a copy there are left out.
    priority : int
        Smaller runs first.

    Raises
    ------
    NotFoundError
        If there is no such observation or site.
    GraphError
        If a frame lies at no site whose files are served.
    """
    return retry_collisions(database, lambda c: _bring(c, observation_id, site_id, priority))


def _bring(connection: Connection, observation_id: int, site_id: int, priority: int) -> Bringing:
    name = connection.scalar(select(Observation.name).where(Observation.id == observation_id))
    site = connection.scalar(select(Site.name).where(Site.id == site_id))
    if name is None or site is None:
        missing = f"observation {observation_id}" if name is None else f"site {site_id}"
        raise NotFoundError(f"there is no {missing}; make it first")
    absent = (
        select(Image.id, Image.fingerprint)
        .where(Image.observation_id == observation_id, Image.birth.is_(None), _is_absent(site_id))
        .order_by(Image.utc_start, Image.id)
    )
    frames = connection.execute(absent).all()
    if not frames:
        return Bringing(None, 0, 0, is_new=False)
    _refuse_unserved(connection, observation_id, site_id, name, len(frames))
    parameters = {"observation": name, "site": site}
    fingerprints = [frame.fingerprint or str(frame.id) for frame in frames]
    key = run_key(TRANSFER, VERSION, parameters, fingerprints)
    parts = chunks([frame.id for frame in frames], FRAMES_EACH)
    known = find_run(connection, key)
    if known is not None:
        return Bringing(known, len(frames), len(parts), is_new=False)
    queue_id = ensure_queue(connection, site_id, find_step(TRANSFER).group)
    processes = [
        ProcessSpec(
            id=pid,
            command=TRANSFER,
            parameters=validate(TRANSFER, {"images": part}).model_dump(mode="json"),
            queue_id=queue_id,
            priority=priority,
        )
        for pid, part in zip(_PIDS.draw(len(parts)), parts, strict=True)
    ]
    spec = RunSpec(key, TRANSFER, VERSION, parameters, code_version(), processes)
    run_id = insert_run(connection, spec)
    insert_graph(connection, run_id, processes)
    return Bringing(run_id, len(frames), len(processes), is_new=True)


def _is_absent(site_id: int) -> ColumnElement[bool]:
    """Tell of an image whether it has no copy at a site."""
    here = aliased(ImageCopy)
    return ~exists().where(here.image_id == Image.id, here.site_id == site_id)


def _refuse_unserved(
    connection: Connection, observation_id: int, site_id: int, name: str, n_frames: int
) -> None:
    """Refuse frames of which no copy can be had."""
    served = (
        select(func.count(Image.id.distinct()))
        .join(ImageCopy, ImageCopy.image_id == Image.id)
        .join(Site, Site.id == ImageCopy.site_id)
        .where(Image.observation_id == observation_id, Image.birth.is_(None))
        .where(Site.address.is_not(None), _is_absent(site_id))
    )
    n_served = connection.scalar(served) or 0
    if n_served < n_frames:
        raise GraphError(
            f"{n_frames - n_served} of {n_frames} frames of observation {name!r} lie at no site "
            "whose files are served; start `tianyu serve-files` there and give its URL: tianyu "
            "site add NAME --address URL"
        )
