"""Registering frames: from files to observations with published runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection

from tianyu.pipelines.fits import FrameKind
from tianyu.publisher.grouping import FrameGroup, group_frames
from tianyu.publisher.observations import (
    ExpectedTarget,
    ObservationSpec,
    ensure_observation,
    expect_target,
    find_frame,
    register_frames,
)
from tianyu.publisher.placing import Placement
from tianyu.publisher.publishing import PublishedRun, PublishOptions, publish
from tianyu.publisher.scanning import Rejected, scan
from tianyu.publisher.survey import (
    InstrumentFacts,
    ensure_filter,
    ensure_instrument,
    ensure_sky,
    ensure_target,
    facts_of,
    set_instrument_facts,
)
from tianyu.schema.database import Database
from tianyu.schema.errors import ConfigurationError, NotFoundError

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TargetRequest:
    """A target that a person named, and where it stands."""

    name: str
    ra_deg: float | None = None
    dec_deg: float | None = None
    frame: str | None = None
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True)
class RegisterRequest:
    """What is to be registered, and what a person knows better than the headers."""

    paths: Sequence[Path]
    site_id: int
    root: Path
    target: TargetRequest | None = None
    facts: InstrumentFacts = field(default_factory=InstrumentFacts)
    placement: Placement = Placement.LINK
    options: PublishOptions = field(default_factory=PublishOptions)
    publish: bool = True


@dataclass(frozen=True)
class RegisteredObservation:
    """One observation after registration."""

    observation_id: int
    name: str
    kind: str
    n_frames: int
    n_new: int
    run: PublishedRun | None


@dataclass(frozen=True)
class Registration:
    """Everything that came of one request."""

    observations: tuple[RegisteredObservation, ...]
    rejected: tuple[Rejected, ...]
    notes: tuple[str, ...]


def _ignore(_what: str, _done: int, _total: int) -> None:
    """Take progress that nobody wants to see."""


def register(
    database: Database, request: RegisterRequest, progress: Progress = _ignore
) -> Registration:
    """Register all frames of a request and publish the default recipe of each observation.

    Calibration comes first, so that science finds its masters. Doing it again is harmless:
    known frames are skipped and the same run is not published twice.

    Raises
    ------
    ConfigurationError
        If there is no usable frame, or the target's frame is not among them.
    """
    found = scan(request.paths, lambda done, total: progress("reading headers", done, total))
    if not found.frames:
        reasons = "; ".join(r.reason for r in found.rejected[:3]) or "no FITS files there"
        where = ", ".join(str(path) for path in request.paths)
        raise ConfigurationError(f"no usable frame in {where}: {reasons}")
    groups = group_frames(
        found.frames,
        longitude_deg=request.facts.longitude_deg,
        one_target=request.target is not None,
    )
    observations = [_register_group(database, request, group, progress) for group in groups]
    if request.target is not None and request.target.frame is not None:
        _expect_in_frame(database, request.target, observations)
    published = [_publish(database, request, observation) for observation in observations]
    notes = sorted({note for frame in found.frames for note in frame.header.notes})
    return Registration(tuple(published), found.rejected, tuple(notes))


def _register_group(
    database: Database, request: RegisterRequest, group: FrameGroup, progress: Progress
) -> RegisteredObservation:
    name = group.name(request.target.name if request.target else None)

    def work(connection: Connection) -> int:
        return _ensure(connection, request, group, name)

    observation_id = database.retry(work)
    n_new = register_frames(
        database,
        observation_id,
        group.frames,
        site_id=request.site_id,
        root=request.root,
        placement=request.placement,
        progress=lambda done, total: progress(f"registering {name}", done, total),
    )
    return RegisteredObservation(
        observation_id, name, group.kind.value, len(group.frames), n_new, None
    )


def _ensure(connection: Connection, request: RegisterRequest, group: FrameGroup, name: str) -> int:
    facts = InstrumentFacts()
    for frame in group.frames:
        facts = facts.over(facts_of(frame.header))
    instrument_id = ensure_instrument(connection, group.instrument, request.site_id, facts)
    set_instrument_facts(connection, instrument_id, request.facts)
    target_id = sky_id = None
    if group.kind is FrameKind.LIGHT:
        target_id, sky_id = _ensure_target(connection, request, group)
    return ensure_observation(
        connection,
        ObservationSpec(
            name=name,
            kind=group.kind.value,
            instrument_id=instrument_id,
            filter_id=ensure_filter(connection, group.filter_name),
            target_id=target_id,
            sky_id=sky_id,
        ),
    )


def _ensure_target(
    connection: Connection, request: RegisterRequest, group: FrameGroup
) -> tuple[int | None, int]:
    asked = request.target
    header = group.frames[0].header
    if asked is None:
        label = group.object_name or f"field of {group.instrument}"
        target_id = ensure_target(connection, label, kind="field")
        sky = ensure_sky(connection, label, ra_deg=header.ra_deg, dec_deg=header.dec_deg)
        return target_id, sky
    target_id = ensure_target(connection, asked.name, ra_deg=asked.ra_deg, dec_deg=asked.dec_deg)
    ra = header.ra_deg if asked.ra_deg is None else asked.ra_deg
    dec = header.dec_deg if asked.dec_deg is None else asked.dec_deg
    return target_id, ensure_sky(connection, asked.name, ra_deg=ra, dec_deg=dec)


def _expect_in_frame(
    database: Database, target: TargetRequest, observations: Sequence[RegisteredObservation]
) -> None:
    """Note the target's pixel for the observation that holds the named frame."""
    lights = [o for o in observations if o.kind == FrameKind.LIGHT.value]

    def work(connection: Connection) -> bool:
        target_id = ensure_target(connection, target.name)
        for observation in lights:
            frame = str(target.frame)
            if find_frame(connection, observation.observation_id, frame) is not None:
                expected = ExpectedTarget(target_id, target.frame, target.x, target.y)
                expect_target(connection, observation.observation_id, expected)
                return True
        return False

    if not database.retry(work):
        raise NotFoundError(
            f"the target's pixel is given in frame {target.frame!r}, which is not among the "
            "light frames; give the name of one of them, with or without its ending"
        )


def _publish(
    database: Database, request: RegisterRequest, observation: RegisteredObservation
) -> RegisteredObservation:
    if not request.publish:
        return observation
    is_light = observation.kind == FrameKind.LIGHT.value
    if is_light and request.target is not None:
        _expect_by_coordinates(database, request.target, observation)
    options = request.options if is_light else PublishOptions(priority=request.options.priority)
    run = publish(database, observation.observation_id, request.site_id, options)
    return RegisteredObservation(
        observation.observation_id,
        observation.name,
        observation.kind,
        observation.n_frames,
        observation.n_new,
        run,
    )


def _expect_by_coordinates(
    database: Database, target: TargetRequest, observation: RegisteredObservation
) -> None:
    """Without a pixel the target is looked up by its coordinates, where there is a WCS."""

    def work(connection: Connection) -> None:
        target_id = ensure_target(connection, target.name)
        frame = None
        if target.frame is not None:
            frame = find_frame(connection, observation.observation_id, target.frame)
        if frame is None:
            expect_target(connection, observation.observation_id, ExpectedTarget(target_id))

    database.retry(work)
