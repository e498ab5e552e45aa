"""Registering frames: from files to observations with published runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import Connection

from tianyu.pipelines.fits import FrameKind
from tianyu.publisher.collisions import retry_collisions
from tianyu.publisher.expectations import (
    ExpectedTarget,
    check_position,
    expect_target,
    is_expected,
)
from tianyu.publisher.grouping import FrameGroup, group_frames
from tianyu.publisher.naming import safe_name
from tianyu.publisher.observations import (
    ObservationSpec,
    ensure_observation,
    find_frame,
    register_frames,
)
from tianyu.publisher.placing import Placement, own_folders
from tianyu.publisher.positions import Position, note_positions
from tianyu.publisher.publishing import PublishedRun, PublishOptions, publish
from tianyu.publisher.scanning import Rejected, Scan, ScannedFrame, scan
from tianyu.publisher.step_options import check_step_options, options_for
from tianyu.publisher.survey import (
    InstrumentFacts,
    check_coordinates,
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
    """A target that a person named, and where it stands.

    Raises
    ------
    ConfigurationError
        If a coordinate is missing or impossible, or a pixel is given without its frame.
    """

    name: str
    ra_deg: float | None = None
    dec_deg: float | None = None
    frame: str | None = None
    x: float | None = None
    y: float | None = None

    def __post_init__(self) -> None:
        check_coordinates(self.name, self.ra_deg, self.dec_deg)
        check_position(self.frame, self.x, self.y)


@dataclass(frozen=True)
class RegisterRequest:
    """What is to be registered, and what a person knows better than the headers."""

    paths: Sequence[Path]
    site_id: int
    root: Path
    observation: str | None = None
    target: TargetRequest | None = None
    positions: Sequence[Position] = ()
    facts: InstrumentFacts = field(default_factory=InstrumentFacts)
    placement: Placement = Placement.LINK
    options: PublishOptions = field(default_factory=PublishOptions)
    publish: bool = True
    name_of: Callable[[FrameGroup], str | None] | None = None
    """Names the observation that a group of light frames belongs to; None: as usual."""


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
    known frames are skipped and the same run is not published twice. What lies under the
    root already, raw or made by us, is not taken for new frames.

    Raises
    ------
    ConfigurationError
        If there is no usable frame, the target's pixel is not in its frame, or the light
        frames make several observations where one name is given.
    NotFoundError
        If the target's frame is not among the light frames.
    GraphError
        If the options do not fit the recipes.
    """
    check_step_options(request.options.steps)
    found = scan(
        request.paths,
        lambda done, total: progress("reading headers", done, total),
        leave_out=own_folders(request.root),
    )
    return register_scanned(database, request, found, progress)


def register_scanned(
    database: Database, request: RegisterRequest, found: Scan, progress: Progress = _ignore
) -> Registration:
    """Register frames whose headers have been read; see :func:`register`.

    Raises
    ------
    ConfigurationError, NotFoundError, GraphError
        As :func:`register`.
    """
    if not found.frames:
        reasons = "; ".join(r.reason for r in found.rejected[:3]) or "no FITS files there"
        where = ", ".join(str(path) for path in request.paths)
        raise ConfigurationError(f"no usable frame in {where}: {reasons}")
    groups = group_frames(
        found.frames,
        longitude_deg=request.facts.longitude_deg,
        one_target=request.target is not None,
    )
    _check_name(request, groups)
    observations = [_register_group(database, request, group, progress) for group in groups]
    if request.target is not None:
        _note_target(database, request.target, observations)
    left_out = _note_positions(database, request.positions, observations)
    if request.publish:
        observations = [_publish(database, request, observation) for observation in observations]
    notes = (*_notes(found.frames), *left_out)
    return Registration(tuple(observations), found.rejected, notes)


def _check_name(request: RegisterRequest, groups: Sequence[FrameGroup]) -> None:
    lights = [group for group in groups if group.kind is FrameKind.LIGHT]
    if request.observation is not None and len(lights) != 1:
        raise ConfigurationError(
            f"one name, {request.observation!r}, for {len(lights)} observations of light frames; "
            "register each of them by itself, or leave the name out"
        )


def _register_group(
    database: Database, request: RegisterRequest, group: FrameGroup, progress: Progress
) -> RegisteredObservation:
    name = group.name(request.target.name if request.target else None)
    if group.kind is FrameKind.LIGHT:
        known = None if request.name_of is None else request.name_of(group)
        name = known or request.observation or name
    observation_id = retry_collisions(database, lambda c: _ensure(c, request, group, name))
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
    """Make what an observation's row refers to, and the row."""
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


def _note_target(
    database: Database, target: TargetRequest, observations: Sequence[RegisteredObservation]
) -> None:
    """Note where the target stands in every observation of light frames, in one transaction."""
    lights = [o.observation_id for o in observations if o.kind == FrameKind.LIGHT.value]
    retry_collisions(database, lambda c: _note_target_in(c, target, lights))


def _note_positions(
    database: Database,
    positions: Sequence[Position],
    observations: Sequence[RegisteredObservation],
) -> tuple[str, ...]:
    lights = [o.observation_id for o in observations if o.kind == FrameKind.LIGHT.value]
    if not positions:
        return ()
    return retry_collisions(database, lambda c: note_positions(c, lights, positions))


def _note_target_in(
    connection: Connection, target: TargetRequest, observation_ids: Sequence[int]
) -> None:
    target_id = ensure_target(connection, target.name)
    with_frame = [
        observation_id
        for observation_id in observation_ids
        if target.frame is not None
        and find_frame(connection, observation_id, target.frame) is not None
    ]
    if target.frame is not None and not with_frame:
        raise NotFoundError(
            f"the target's pixel is given in frame {target.frame!r}, which is not among the "
            "light frames; give the name of one of them, with or without its ending"
        )
    if len(with_frame) > 1:
        raise ConfigurationError(
            f"{len(with_frame)} observations have a frame {target.frame!r}; register one of them "
            "at a time when a pixel is given"
        )
    for observation_id in observation_ids:
        if observation_id in with_frame:
            expected = ExpectedTarget(target_id, target.frame, target.x, target.y)
            expect_target(connection, observation_id, expected)
        elif target.ra_deg is not None or not is_expected(connection, observation_id, target_id):
            # Nothing said today takes back a pixel that was given before.
            expect_target(connection, observation_id, ExpectedTarget(target_id))


def _publish(
    database: Database, request: RegisterRequest, observation: RegisteredObservation
) -> RegisteredObservation:
    options = options_for(request.options, observation.kind)
    run = publish(database, observation.observation_id, request.site_id, options)
    return replace(observation, run=run)


def _notes(frames: Sequence[ScannedFrame]) -> tuple[str, ...]:
    """Return what was assumed and of which frames, and which names had to be changed."""
    frames_of: dict[str, list[str]] = {}
    for frame in frames:
        for note in frame.header.notes:
            frames_of.setdefault(note, []).append(frame.path.name)
    notes = {
        f"{names[0]}: {note}"
        if len(names) == 1
        else f"{len(names)} frames, {names[0]} first: {note}"
        for note, names in frames_of.items()
    }
    renamed = [frame.path.name for frame in frames if safe_name(frame.path.name) != frame.path.name]
    if renamed:
        notes.add(
            f"{len(renamed)} names that some platforms refuse were changed, the first from "
            f"{renamed[0]!r} to {safe_name(renamed[0])!r}"
        )
    return tuple(sorted(notes))
