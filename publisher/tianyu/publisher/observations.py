"""Registering an observation: its row, its frames, and where their files lie."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from tianyu.pipelines.fits import FrameHeader
from tianyu.publisher.collisions import retry_collisions
from tianyu.publisher.naming import marked_name, plain_stem, safe_name
from tianyu.publisher.placing import Placement, is_same_file, place, take_away
from tianyu.publisher.scanning import ScannedFrame, is_recompressed
from tianyu.publisher.survey import insert_named
from tianyu.schema.database import Database
from tianyu.schema.dialects import now_us
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.paths import raw_path, resolve
from tianyu.schema.tables import Image, ImageCopy, Observation


@dataclass(frozen=True)
class ObservationSpec:
    """What an observation is, before it has frames."""

    name: str
    kind: str
    instrument_id: int
    filter_id: int | None = None
    target_id: int | None = None
    sky_id: int | None = None


@dataclass(frozen=True)
class _Arrival:
    """A frame that is to be registered, its place, and its row where only a copy is new."""

    frame: ScannedFrame
    name: str
    path: str
    image_id: int | None


def ensure_observation(connection: Connection, spec: ObservationSpec) -> int:
    """Return the id of an observation; make it when there is none of that name."""
    found = connection.scalar(select(Observation.id).where(Observation.name == spec.name))
    if found is not None:
        return int(found)
    values = {k: v for k, v in asdict(spec).items() if k != "name"}
    return insert_named(connection, Observation, spec.name, created_us=now_us(), **values)


def register_frames(
    database: Database,
    observation_id: int,
    frames: Sequence[ScannedFrame],
    *,
    site_id: int,
    root: Path,
    placement: Placement = Placement.LINK,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Place the files of frames and insert their rows; frames already registered are skipped.

    Files come first: a row never names a file that is not there, and a file without a row is
    found again by the next registration. The originals of moved frames go last of all. A
    frame that is known from another site gets its copy here; a file that is gone comes back.

    Returns
    -------
    int
        Number of frames that are new.

    Raises
    ------
    ConfigurationError
        If the disk does not take a file, or does not let one go.
    """
    with database.read() as connection:
        known = _known(connection, observation_id, site_id)
    arrivals = _arrivals(known, observation_id, root, frames)
    try:
        for done, arrival in enumerate(arrivals):
            place(arrival.frame.path, root, arrival.path, placement)
            if progress is not None:
                progress(done + 1, len(arrivals))
        n_new = retry_collisions(database, lambda c: _insert(c, observation_id, site_id, arrivals))
        if placement is Placement.MOVE:
            for arrival in arrivals:
                take_away(arrival.frame.path, resolve(root, arrival.path))
    except OSError as error:
        raise ConfigurationError(
            f"frames cannot be brought to {root}: {error}; mend it and register again, what has "
            "been done is kept"
        ) from error
    return n_new


def find_frame(connection: Connection, observation_id: int, name: str) -> int | None:
    """Return the image of an observation by its file name; None if there is none.

    The case does not matter, endings and folders may be left out.

    Raises
    ------
    ConfigurationError
        If the name without its ending is that of several frames.
    """
    query = select(Image.id, Image.name).where(
        Image.observation_id == observation_id, Image.birth.is_(None)
    )
    stem, whole = plain_stem(name), safe_name(name).lower()
    alike = [row for row in connection.execute(query) if plain_stem(row.name) == stem]
    exact = [row for row in alike if row.name.lower() == whole]
    if not exact and len(alike) > 1:
        raise ConfigurationError(
            f"{name!r} may be any of {', '.join(row.name for row in alike)}; give the whole name"
        )
    return next((int(row.id) for row in (*exact, *alike)), None)


def header_json(header: FrameHeader) -> dict[str, Any]:
    """Return what was read from a header as JSON keeps it."""
    return {name: _plain(value) for name, value in asdict(header).items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def _known(connection: Connection, observation_id: int, site_id: int) -> list[Row[Any]]:
    """Return the raw frames of an observation, with the path of their copy here or None."""
    query = (
        select(Image.id, Image.name, Image.fingerprint, Image.utc_start, ImageCopy.path)
        .outerjoin(ImageCopy, (ImageCopy.image_id == Image.id) & (ImageCopy.site_id == site_id))
        .where(Image.observation_id == observation_id, Image.birth.is_(None))
        .order_by(Image.id)
    )
    return list(connection.execute(query))


def _arrivals(
    known: Sequence[Row[Any]], observation_id: int, root: Path, frames: Sequence[ScannedFrame]
) -> list[_Arrival]:
    """Return the frames that are new, or whose file is not here, with names that are free."""
    by_fingerprint = {row.fingerprint: row for row in known}
    by_stem = {plain_stem(row.name): row for row in known}
    taken = {row.name.lower() for row in known}
    arrivals = []
    for frame in frames:
        row = by_fingerprint.get(frame.fingerprint)
        twin = by_stem.get(plain_stem(frame.path.name))
        if row is None and twin and is_recompressed(frame, twin.name, twin.utc_start):
            row = twin
        if row is not None and row.path is not None:
            is_gone = not resolve(root, row.path).exists()
            if is_gone and row.fingerprint == frame.fingerprint:
                arrivals.append(_Arrival(frame, row.name, row.path, int(row.id)))
            continue
        if row is None:
            file = _free_name(frame, root, observation_id, safe_name(frame.path.name), taken)
            arrivals.append(_Arrival(frame, file, raw_path(observation_id, file), None))
        else:
            file = _free_name(frame, root, observation_id, row.name, set())
            arrivals.append(_Arrival(frame, row.name, raw_path(observation_id, file), int(row.id)))
        taken.add(file.lower())
    return arrivals


def _free_name(
    frame: ScannedFrame, root: Path, observation_id: int, name: str, taken: set[str]
) -> str:
    """Return the name of a frame's file: the one asked for, unless that is another frame's.

    On the disk it may be one whose registration was interrupted, or of an earlier database.
    """
    target = resolve(root, raw_path(observation_id, name))
    is_occupied = target.exists() and not is_same_file(frame.path, target)
    if name.lower() in taken or is_occupied:
        return marked_name(frame.path.name, frame.fingerprint)
    return name


def _insert(
    connection: Connection, observation_id: int, site_id: int, arrivals: Sequence[_Arrival]
) -> int:
    """Insert images and copies; what another publisher inserted meanwhile is left alone."""
    known = {row.fingerprint: row for row in _known(connection, observation_id, site_id)}
    new = [a for a in arrivals if a.image_id is None and a.frame.fingerprint not in known]
    if new:
        connection.execute(insert(Image), [_image_values(observation_id, a) for a in new])
    ids = {row.fingerprint: row for row in _known(connection, observation_id, site_id)}
    copies = []
    for arrival in arrivals:
        row = ids.get(arrival.frame.fingerprint)
        if row is None or row.path is None:
            image_id = row.id if row is not None else arrival.image_id
            copies.append(_copy_values(site_id, image_id, arrival))
    if copies:
        connection.execute(insert(ImageCopy).values(created_us=now_us()), copies)
    return len(new)


def _image_values(observation_id: int, arrival: _Arrival) -> dict[str, Any]:
    header = arrival.frame.header
    start = header.utc_start
    return {
        "kind": header.kind.value,
        "name": arrival.name,
        "observation_id": observation_id,
        "width": header.width,
        "height": header.height,
        "binning": header.binning_x,
        "exposure_s": header.exposure_s,
        "utc_start": start,
        "utc_mid": None if start is None else start + timedelta(seconds=header.exposure_s / 2),
        "fingerprint": arrival.frame.fingerprint,
        "header": header_json(header),
    }


def _copy_values(site_id: int, image_id: int | None, arrival: _Arrival) -> Mapping[str, Any]:
    return {
        "image_id": image_id,
        "site_id": site_id,
        "path": arrival.path,
        "size_bytes": arrival.frame.size_bytes,
    }
