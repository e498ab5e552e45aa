"""Images that a result goes back to, with a check of their files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from tianyu.cli.provenance.files import FileCheck, StoredFile, check_file
from tianyu.schema import pid
from tianyu.schema.tables import Image, ImageCopy, Process, Site

NOT_OURS = frozenset({"frames", "wcs_cards"})
"""Of a product's header: long lists that other parts of an explanation show."""


@dataclass(frozen=True)
class ImageOrigin:
    """One raw frame or product and where its files are."""

    image: int
    kind: str
    name: str
    run: int | None
    process: str | None
    exposure_s: float | None
    facts: Mapping[str, Any]
    files: tuple[FileCheck, ...]


@dataclass(frozen=True)
class MasterOrigin:
    """A master frame, what it was made of, and the masters that calibrated these frames."""

    product: ImageOrigin
    frames: tuple[str, ...]
    calibrated_with: Mapping[str, str | None]
    """Process of each master that was used in turn, None where that step was skipped."""


def read_image(
    connection: Connection,
    image_id: int,
    *,
    sha256: str | None = None,
    root: Path | None = None,
) -> ImageOrigin:
    """Return an image, with every copy of it compared.

    Parameters
    ----------
    connection : Connection
    image_id : int
    sha256 : str, optional
        What a run read of it; by default what is stored with the copy.
    root : Path, optional
        Where the site's files are, if not where the database says.
    """
    image = connection.execute(select(Image.__table__).where(Image.id == image_id)).one()
    copies = connection.execute(
        select(ImageCopy.__table__, Site.name, Site.root)
        .join(Site, Site.id == ImageCopy.site_id)
        .where(ImageCopy.image_id == image_id)
        .order_by(ImageCopy.site_id)
    )
    files = [
        check_file(
            StoredFile(
                site=copy.name,
                root=root or Path(copy.root),
                path=copy.path,
                size_bytes=copy.size_bytes,
                sha256=sha256 or copy.checksum,
                fingerprint=image.fingerprint,
            )
        )
        for copy in copies
    ]
    return ImageOrigin(
        image=image.id,
        kind=image.kind,
        name=image.name,
        run=image.run_id,
        process=None if image.birth is None else pid.to_text(image.birth),
        exposure_s=image.exposure_s,
        facts={} if image.birth is None else _facts(image.header),
        files=tuple(files),
    )


def read_masters(
    connection: Connection, calibration: Mapping[str, str | None], root: Path | None = None
) -> dict[str, MasterOrigin | None]:
    """Return the masters that a calibration names; None for a step that was skipped."""
    return {
        kind: None if process is None else _master(connection, kind, pid.from_text(process), root)
        for kind, process in calibration.items()
    }


def names_of(connection: Connection, image_ids: Sequence[int]) -> dict[int, str]:
    """Return the names of images."""
    found: dict[int, str] = {}
    for start in range(0, len(image_ids), 500):
        query = select(Image.id, Image.name).where(Image.id.in_(image_ids[start : start + 500]))
        found |= {row.id: row.name for row in connection.execute(query)}
    return found


def _master(
    connection: Connection, kind: str, process_id: int, root: Path | None
) -> MasterOrigin | None:
    image_id = connection.scalar(
        select(Image.id).where(Image.birth == process_id, Image.kind == f"master_{kind}")
    )
    if image_id is None:
        return None
    parameters = connection.execute(
        select(Process.parameters).where(Process.id == process_id)
    ).scalar_one()
    frames = list(parameters.get("frames", ()))
    names = names_of(connection, frames)
    used = parameters.get("calibration", {})
    return MasterOrigin(
        product=read_image(connection, image_id, root=root),
        frames=tuple(names[i] for i in frames if i in names),
        calibrated_with={k: v for k, v in used.items() if v is not None},
    )


def _facts(header: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in header.items() if name not in NOT_OURS}
