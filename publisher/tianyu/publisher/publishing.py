"""Publishing the reduction of an observation: one run, one transaction, at most once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median_low
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select
from sqlalchemy.exc import IntegrityError

from tianyu.publisher.collisions import retry_collisions
from tianyu.publisher.graph import GraphInputs, build_graph
from tianyu.publisher.masters import FrameProperties, MatchedMasters, julian_date, match_masters
from tianyu.publisher.recipe import check_recipe
from tianyu.publisher.recipes import DEFAULT_RECIPES, find_recipe
from tianyu.publisher.surroundings import surroundings_of
from tianyu.schema.database import Database
from tianyu.schema.directory import code_version, ensure_queue
from tianyu.schema.errors import GraphError, NotFoundError
from tianyu.schema.pid import PidFactory
from tianyu.schema.tables import (
    Image,
    ImageCopy,
    Instrument,
    Observation,
    Process,
    Reduction,
    Site,
)
from tianyu.schema.transitions.publish import (
    RunSpec,
    find_run,
    insert_graph,
    insert_run,
    run_key,
)

CHUNK_FRAMES = 32
"""Frames per process: overhead is amortised, and a night still has work for many machines."""

FAN_OUT = 5
"""Stacks merged per node of a tree."""

PRIORITIES = range(-1000, 1001)
"""Priorities that people may give; the column holds a little more."""

_WANTED_MASTERS = {
    "bias": (),
    "dark": ("bias",),
    "flat": ("bias", "dark"),
    "light": ("bias", "dark", "flat"),
}

_PIDS = PidFactory()


@dataclass(frozen=True)
class PublishOptions:
    """What a person may choose about a run.

    Attributes
    ----------
    recipe : str or None
        None: the default one for the kind of frames.
    chunk_frames, fan_out : int
        Frames per process; stacks merged per node of the tree.
    steps : mapping
        Parameters by step and name.
    priority : int
        Smaller runs first.

    Raises
    ------
    GraphError
        If the priority is out of range.
    """

    recipe: str | None = None
    chunk_frames: int = CHUNK_FRAMES
    fan_out: int = FAN_OUT
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    priority: int = 100

    def __post_init__(self) -> None:
        if self.priority not in PRIORITIES:
            raise GraphError(
                f"priority {self.priority} is out of range; give {PRIORITIES[0]} (first) to "
                f"{PRIORITIES[-1]} (last)"
            )


@dataclass(frozen=True)
class PublishedRun:
    """A run that is in the database; ``is_new`` is False when it already was."""

    run_id: int
    recipe: str
    n_processes: int
    is_new: bool
    notes: tuple[str, ...]


def publish(
    database: Database, observation_id: int, site_id: int, options: PublishOptions | None = None
) -> PublishedRun:
    """Publish the processes that reduce an observation.

    Parameters
    ----------
    database : Database
    observation_id : int
    site_id : int
        Where the processes run: the observation's frames must have copies there.
    options : PublishOptions, optional

    Returns
    -------
    PublishedRun
        Publishing the same thing again returns the run that is there.

    Raises
    ------
    GraphError
        If there are no frames, a frame has no copy at the site, or the options do not fit the
        recipe.
    NotFoundError
        If there is no such observation, site or recipe.
    InvalidParametersError
        If a parameter does not validate; nothing is published then.
    """
    chosen = options or PublishOptions()
    try:
        return retry_collisions(database, lambda c: _publish(c, observation_id, site_id, chosen))
    except IntegrityError as error:
        raise GraphError(
            f"observation {observation_id} could not be published: {error.orig}; publish it again"
        ) from error


def _publish(
    connection: Connection, observation_id: int, site_id: int, options: PublishOptions
) -> PublishedRun:
    observation = _observation(connection, observation_id)
    recipe = find_recipe(options.recipe or _default_recipe(observation))
    check_recipe(recipe)
    if recipe.kind != observation.kind:
        raise GraphError(
            f"recipe {recipe.name} is for {recipe.kind} frames, but observation "
            f"{observation.name!r} holds {observation.kind} frames"
        )
    frames = _frames(connection, observation, site_id)
    masters = _masters(connection, observation, frames, site_id)
    surroundings = surroundings_of(connection, observation, frames, masters)
    parameters = {
        "observation": observation.name,
        "chunk_frames": options.chunk_frames,
        "fan_out": options.fan_out,
        "options": {name: dict(values) for name, values in sorted(options.steps.items())},
        "surroundings": surroundings,
    }
    key = run_key(recipe.name, recipe.version, parameters, [f.fingerprint for f in frames])
    existing = find_run(connection, key)
    if existing is not None:
        n_processes = connection.scalar(select(func.count()).where(Process.run_id == existing))
        return PublishedRun(existing, recipe.name, n_processes or 0, False, masters.notes)
    inputs = GraphInputs(
        frames=[frame.id for frame in frames],
        surroundings=surroundings,
        options=options.steps,
        chunk_frames=options.chunk_frames,
        fan_out=options.fan_out,
    )
    queues: dict[str, int] = {}

    def queue_of(group: str) -> int:
        if group not in queues:
            queues[group] = ensure_queue(connection, site_id, group)
        return queues[group]

    processes = build_graph(
        recipe, inputs, draw_ids=_PIDS.draw, queue_of=queue_of, priority=options.priority
    )
    spec = RunSpec(key, recipe.name, recipe.version, parameters, code_version(), processes)
    run_id = insert_run(connection, spec)
    connection.execute(
        insert(Reduction).values(
            run_id=run_id,
            observation_id=observation_id,
            flux_unit="adu" if surroundings["gain_e_per_adu"] is None else "electron",
            notes={"masters": list(masters.notes)},
        )
    )
    insert_graph(connection, run_id, processes)
    return PublishedRun(run_id, recipe.name, len(processes), True, masters.notes)


def _observation(connection: Connection, observation_id: int) -> Row[Any]:
    query = (
        select(Observation.__table__, Instrument.default_recipe)
        .join(Instrument, Instrument.id == Observation.instrument_id)
        .where(Observation.id == observation_id)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no observation {observation_id}; register one first")
    return row


def _default_recipe(observation: Row[Any]) -> str:
    if observation.kind == "light":
        return str(observation.default_recipe)
    return DEFAULT_RECIPES[observation.kind]


def _frames(connection: Connection, observation: Row[Any], site_id: int) -> list[Row[Any]]:
    """Return the raw frames in the order of their exposures; all must have a copy here."""
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
            f"{elsewhere[0].name} first, have no copy at site {site_id}; register them there"
        )
    return frames


def _masters(
    connection: Connection, observation: Row[Any], frames: list[Row[Any]], site_id: int
) -> MatchedMasters:
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
    )
    return match_masters(connection, properties, wanted=_WANTED_MASTERS[observation.kind])
