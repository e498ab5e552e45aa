"""Raw frames and products as a step sees them: rows of the database with a file beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, select

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import MissingInputError, UnusableDataError
from tianyu.pipelines.fits.pixels import read_pixels, read_pixels_and_checksum
from tianyu.pipelines.science.arrays import AnyArray
from tianyu.pipelines.science.overscan import RawFrame, Section, cut
from tianyu.schema.tables import Image, ImageCopy


@dataclass(frozen=True)
class FrameFacts:
    """What the database knows of an image, wherever its files are."""

    image_id: int
    name: str
    width: int
    height: int
    exposure_s: float | None
    header: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the pixels."""
        return self.height, self.width


@dataclass(frozen=True)
class FrameFile:
    """An image with its copy at this site."""

    image_id: int
    kind: str
    name: str
    path: Path
    size_bytes: int
    width: int
    height: int
    exposure_s: float | None
    utc_start: datetime | None
    utc_mid: datetime | None
    header: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the pixels."""
        return self.height, self.width

    def section(self, name: str) -> Section | None:
        """Return a section of the file's image as the header was read; None: there is none."""
        found = self.header.get(name)
        return None if found is None else (found[0], found[1], found[2], found[3])


def raw_frames(context: StepContext, image_ids: Sequence[int]) -> list[FrameFile]:
    """Return frames in the order of their exposures, ties by id.

    Raises
    ------
    MissingInputError
        If an image is unknown or has no copy at this site.
    """
    with context.database.read() as connection:
        rows = {
            row.id: row
            for start in range(0, len(image_ids), 500)
            for row in connection.execute(
                _images_at(context.site_id).where(Image.id.in_(image_ids[start : start + 500]))
            )
        }
    missing = [image_id for image_id in image_ids if image_id not in rows]
    if missing:
        raise MissingInputError(
            f"image {missing[0]} has no copy at this site; register it here or transfer it"
        )
    frames = [_frame(context, rows[image_id]) for image_id in image_ids]
    return sorted(frames, key=lambda f: (f.utc_start or datetime.min, f.image_id))


def product_of(context: StepContext, birth: int, kind: str) -> FrameFile:
    """Return the product of one kind that a process made.

    Raises
    ------
    MissingInputError
        If that process made none of this kind here.
    """
    file = find_product_of(context, birth, kind)
    if file is None:
        raise MissingInputError(
            f"process {birth} has left no {kind} at this site; rescue it or publish a new run"
        )
    return file


def facts_of(context: StepContext, image_id: int) -> FrameFacts:
    """Return what is known of an image, be its file here or at another site.

    Raises
    ------
    MissingInputError
        If there is no such image.
    """
    facts = _find_facts(context, Image.id == image_id)
    if facts is None:
        raise MissingInputError(f"there is no image {image_id}; it has been purged")
    return facts


def find_facts_of_product(context: StepContext, birth: int, kind: str) -> FrameFacts | None:
    """Return what is known of the product of one kind that a process made anywhere, or None."""
    return _find_facts(context, (Image.birth == birth) & (Image.kind == kind))


def _find_facts(context: StepContext, which: ColumnElement[bool]) -> FrameFacts | None:
    columns = (Image.id, Image.name, Image.width, Image.height, Image.exposure_s, Image.header)
    with context.database.read() as connection:
        row = connection.execute(select(*columns).where(which)).one_or_none()
    return None if row is None else FrameFacts(*row)


def find_product_of(context: StepContext, birth: int, kind: str) -> FrameFile | None:
    """Return the product of one kind that a process made here, or None."""
    query = _images_at(context.site_id).where(Image.birth == birth, Image.kind == kind)
    with context.database.read() as connection:
        row = connection.execute(query).one_or_none()
    return None if row is None else _frame(context, row)


def read_frame(context: StepContext, frame: FrameFile, extension: str | None = None) -> AnyArray:
    """Read the pixels of a frame, less its overscan, and count the bytes.

    Raises
    ------
    MissingInputError
        If the file is gone.
    UnusableDataError
        If it cannot be read, or its size is not the one that was registered.
    """
    return read_raw(context, frame, extension).corrected


def read_raw(context: StepContext, frame: FrameFile, extension: str | None = None) -> RawFrame:
    """Read a frame cut to the part that sees light, its overscan beside it; count the bytes.

    Raises
    ------
    MissingInputError
        If the file is gone.
    UnusableDataError
        If it cannot be read, or its size is not the one that was registered.
    """
    content = read_file(frame, extension)
    context.traffic.read += content.n_bytes
    return content.raw


@dataclass(frozen=True)
class RawFile:
    """What a file holds.

    Attributes
    ----------
    raw : RawFrame
    n_bytes : int
        Bytes that were read of it.
    checksum : str or None
        SHA-256 of all of them, in hexadecimal, if it was asked for.
    """

    raw: RawFrame
    n_bytes: int
    checksum: str | None = None


def read_file(
    frame: FrameFile, extension: str | None = None, *, with_checksum: bool = False
) -> RawFile:
    """Read a frame cut to the part that sees light, its overscan beside it.

    Raises
    ------
    MissingInputError
        If the file is gone.
    UnusableDataError
        If it cannot be read, or its size is not the one that was registered.
    """
    if not frame.path.is_file():
        raise MissingInputError(
            f"the file of {frame.name} is gone from {frame.path}; put it back and retry"
        )
    digest = None
    if with_checksum:
        pixels, digest = read_pixels_and_checksum(frame.path, extension=extension)
    else:
        pixels = read_pixels(frame.path, extension=extension)
    n_bytes = pixels.nbytes if extension else frame.path.stat().st_size
    raw = cut(pixels, frame.section("data_section"), frame.section("overscan_section"))
    if raw.pixels.shape != frame.shape:
        raise UnusableDataError(
            f"{frame.name} holds {pixels.shape[1]}×{pixels.shape[0]} pixels, but "
            f"{frame.width}×{frame.height} were registered; it has changed since: put the "
            "registered file back, or register this one under another name"
        )
    return RawFile(raw, n_bytes, digest)


def _images_at(site_id: int) -> Select[Any]:
    return select(
        Image.id,
        Image.kind,
        Image.name,
        Image.width,
        Image.height,
        Image.exposure_s,
        Image.utc_start,
        Image.utc_mid,
        Image.header,
        ImageCopy.path,
        ImageCopy.size_bytes,
    ).join(ImageCopy, (ImageCopy.image_id == Image.id) & (ImageCopy.site_id == site_id))


def _frame(context: StepContext, row: Row[Any]) -> FrameFile:
    return FrameFile(
        image_id=row.id,
        kind=row.kind,
        name=row.name,
        path=context.file_of(row.path),
        size_bytes=row.size_bytes,
        width=row.width,
        height=row.height,
        exposure_s=row.exposure_s,
        utc_start=row.utc_start,
        utc_mid=row.utc_mid,
        header=row.header,
    )
