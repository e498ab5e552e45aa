"""Publishing the reduction of an observation: one run, one transaction, at most once."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.exc import IntegrityError

from tianyu.publisher.graph import GraphInputs, build_graph
from tianyu.publisher.masters import FrameProperties, MatchedMasters, julian_date, match_masters
from tianyu.publisher.recipe import check_recipe
from tianyu.publisher.recipes import DEFAULT_RECIPES, find_recipe
from tianyu.schema.database import Database
from tianyu.schema.directory import code_version, ensure_queue
from tianyu.schema.errors import GraphError, NotFoundError
from tianyu.schema.pid import PidFactory, to_text
from tianyu.schema.tables import (
    Image,
    Instrument,
    Observation,
    ObservationTarget,
    Reduction,
    Sky,
    Target,
)
from tianyu.schema.transitions.publish import (
    RunSpec,
    find_run,
    insert_graph,
    insert_run,
    run_key,
)

logger = logging.getLogger(__name__)

CHUNK_FRAMES = 32
"""Frames per process: overhead is amortised, and a night still has work for many machines."""

FAN_OUT = 5
TRIES = 3

_WANTED_MASTERS = {
    "bias": (),
    "dark": ("bias",),
    "flat": ("bias", "dark"),
    "light": ("bias", "dark", "flat"),
}

_PIDS = PidFactory()


@dataclass(frozen=True)
class PublishOptions:
    """What a person may choose about a run."""

    recipe: str | None = None
    chunk_frames: int = CHUNK_FRAMES
    fan_out: int = FAN_OUT
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    priority: int = 100


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
        If there are no frames, or the options do not fit the recipe.
    InvalidParametersError
        If a parameter does not validate; nothing is published then.
    """
    options = options or PublishOptions()
    for _ in range(TRIES):
        try:
            return database.retry(lambda c: _publish(c, observation_id, site_id, options))
        except IntegrityError as error:
            # Either somebody published the same run meanwhile, which the next round finds,
            # or an id is taken already, for which the next round draws another.
            logger.info("publishing again after a collision: %s", error.orig)
    raise GraphError(
        f"observation {observation_id} could not be published in {TRIES} tries; publish it again"
    )


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
    frames = _frames(connection, observation_id)
    masters = _masters(connection, observation, frames)
    surroundings = _surroundings(connection, observation, frames, masters)
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
        return PublishedRun(existing, recipe.name, 0, False, masters.notes)
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


def _frames(connection: Connection, observation_id: int) -> list[Row[Any]]:
    query = (
        select(Image.__table__)
        .where(Image.observation_id == observation_id, Image.birth.is_(None))
        .order_by(Image.utc_start, Image.id)
    )
    frames = list(connection.execute(query))
    if not frames:
        raise GraphError(f"observation {observation_id} has no frames; register some first")
    return frames


def _masters(
    connection: Connection, observation: Row[Any], frames: list[Row[Any]]
) -> MatchedMasters:
    first = frames[0]
    properties = FrameProperties(
        instrument_id=observation.instrument_id,
        filter_id=observation.filter_id,
        width=first.width,
        height=first.height,
        binning=first.binning,
        exposure_s=first.exposure_s,
        jd=julian_date(first.utc_start) if first.utc_start is not None else 0.0,
    )
    return match_masters(connection, properties, wanted=_WANTED_MASTERS[observation.kind])


def _surroundings(
    connection: Connection,
    observation: Row[Any],
    frames: list[Row[Any]],
    masters: MatchedMasters,
) -> dict[str, Any]:
    """Return what steps may ask for by name, as JSON."""
    instrument = connection.execute(
        select(Instrument.__table__).where(Instrument.id == observation.instrument_id)
    ).one()
    pids = {"bias": masters.bias, "dark": masters.dark, "flat": masters.flat}
    return {
        "calibration": {k: None if pid is None else to_text(pid) for k, pid in pids.items()},
        "place": {
            "latitude_deg": instrument.latitude_deg,
            "longitude_deg": instrument.longitude_deg,
            "altitude_m": instrument.altitude_m,
        },
        "field": _field_centre(connection, observation, frames),
        "gain_e_per_adu": instrument.gain_e_per_adu,
        "saturation_adu": instrument.saturation_adu,
        "targets": _targets(connection, observation.id),
    }


def _field_centre(
    connection: Connection, observation: Row[Any], frames: list[Row[Any]]
) -> dict[str, float | None]:
    """Return where the telescope looks: the target, else the sky, else the headers' pointing."""
    for table, row_id in ((Target, observation.target_id), (Sky, observation.sky_id)):
        if row_id is not None:
            row = connection.execute(
                select(table.ra_deg, table.dec_deg).where(table.id == row_id)
            ).one()
            if row.ra_deg is not None:
                return {"ra_deg": row.ra_deg, "dec_deg": row.dec_deg}
    pointings = [
        (frame.header["ra_deg"], frame.header["dec_deg"])
        for frame in frames
        if "ra_deg" in frame.header and "dec_deg" in frame.header
    ]
    if not pointings:
        return {"ra_deg": None, "dec_deg": None}
    return {
        "ra_deg": median(ra for ra, _ in pointings),
        "dec_deg": median(dec for _, dec in pointings),
    }


def _targets(connection: Connection, observation_id: int) -> list[dict[str, Any]]:
    query = (
        select(ObservationTarget.__table__, Target.ra_deg, Target.dec_deg)
        .join(Target, Target.id == ObservationTarget.target_id)
        .where(ObservationTarget.observation_id == observation_id)
        .order_by(ObservationTarget.target_id)
    )
    return [
        {
            "target_id": row.target_id,
            "image_id": row.image_id,
            "x": row.x,
            "y": row.y,
            "ra_deg": row.ra_deg,
            "dec_deg": row.dec_deg,
        }
        for row in connection.execute(query)
    ]
