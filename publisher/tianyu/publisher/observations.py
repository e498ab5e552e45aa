"""Registering an observation: its row, its frames, and where their files lie."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from tianyu.pipelines.fits import FrameHeader
from tianyu.publisher.placing import Placement, place
from tianyu.publisher.scanning import ScannedFrame
from tianyu.publisher.survey import insert_named
from tianyu.schema.database import Database
from tianyu.schema.dialects import now_us
from tianyu.schema.paths import raw_path
from tianyu.schema.tables import Image, ImageCopy, Observation, ObservationTarget


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
class ExpectedTarget:
    """Where a registered target stands; ``frame`` names the file whose pixels are meant."""

    target_id: int
    frame: str | None = None
    x: float | None = None
    y: float | None = None


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
    found again by the next registration.

    Returns
    -------
    int
        Number of frames that are new.
    """
    with database.read() as connection:
        known = set(
            connection.scalars(
                select(Image.fingerprint).where(Image.observation_id == observation_id)
            )
        )
    new = [frame for frame in frames if frame.fingerprint not in known]
    names = _unique_names(new)
    for done, (frame, name) in enumerate(zip(new, names, strict=True)):
        place(frame.path, root, raw_path(observation_id, name), placement)
        if progress is not None:
            progress(done + 1, len(new))

    def work(connection: Connection) -> None:
        for frame, name in zip(new, names, strict=True):
            _insert_frame(connection, observation_id, site_id, frame, name)

    database.retry(work)
    return len(new)


def expect_target(connection: Connection, observation_id: int, target: ExpectedTarget) -> None:
    """Note where a target stands in an observation's frames; the last word counts."""
    image_id = None
    if target.frame is not None:
        image_id = find_frame(connection, observation_id, target.frame)
    table = ObservationTarget.__table__
    connection.execute(
        table.delete().where(  # type: ignore[attr-defined]  # a Table
            table.c.observation_id == observation_id, table.c.target_id == target.target_id
        )
    )
    connection.execute(
        insert(ObservationTarget).values(
            observation_id=observation_id,
            target_id=target.target_id,
            image_id=image_id,
            x=target.x,
            y=target.y,
        )
    )


def find_frame(connection: Connection, observation_id: int, name: str) -> int | None:
    """Return the image of an observation by its file name, with or without its endings."""
    query = select(Image.id, Image.name).where(Image.observation_id == observation_id)
    for row in connection.execute(query):
        if row.name == name or row.name.lower().startswith(f"{name.lower()}."):
            return int(row.id)
    return None


def _unique_names(frames: Sequence[ScannedFrame]) -> list[str]:
    """Return file names; where two folders hold files of one name, the later gets a suffix."""
    taken: set[str] = set()
    names = []
    for frame in frames:
        name = frame.path.name
        if name.lower() in taken:
            name = f"{frame.fingerprint[:8]}_{name}"
        taken.add(name.lower())
        names.append(name)
    return names


def _insert_frame(
    connection: Connection, observation_id: int, site_id: int, frame: ScannedFrame, name: str
) -> None:
    header = frame.header
    start = header.utc_start
    mid = start + timedelta(seconds=header.exposure_s / 2) if start is not None else None
    key = connection.execute(
        insert(Image).values(
            kind=header.kind.value,
            name=name,
            observation_id=observation_id,
            width=header.width,
            height=header.height,
            binning=header.binning_x,
            exposure_s=header.exposure_s,
            utc_start=start,
            utc_mid=mid,
            fingerprint=frame.fingerprint,
            header=header_json(header),
        )
    ).inserted_primary_key
    connection.execute(
        insert(ImageCopy).values(
            image_id=key[0] if key is not None else None,
            site_id=site_id,
            path=raw_path(observation_id, name),
            size_bytes=frame.size_bytes,
            created_us=now_us(),
        )
    )


def header_json(header: FrameHeader) -> dict[str, Any]:
    """Return what was read from a header as JSON keeps it."""
    return {name: _plain(value) for name, value in asdict(header).items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value
