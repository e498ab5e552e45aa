"""Whether the file that a result came from is still what it was."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tianyu.pipelines.fits.fingerprint import checksum, fingerprint
from tianyu.schema.errors import UnsafePathError
from tianyu.schema.paths import resolve


class FileState(StrEnum):
    """What is known of a file now."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    MISSING = "missing"
    OUT_OF_REACH = "out of reach"
    """The root of its site is not on this machine."""
    UNKNOWN = "unknown"
    """It is there, and nothing was stored that it could be compared with."""


@dataclass(frozen=True)
class FileCheck:
    """One file, what was stored of it, and what is there now.

    Attributes
    ----------
    site : str
    path : str
        Absolute.
    size_bytes : int
        As stored.
    sha256 : str or None
        As stored: of the bytes that were read, or of the product as it was written.
    state : FileState
    detail : str
        In words, how it was compared or what differs.
    """

    site: str
    path: str
    size_bytes: int
    sha256: str | None
    state: FileState
    detail: str


@dataclass(frozen=True)
class StoredFile:
    """What the database says of one copy of an image."""

    site: str
    root: Path
    path: str
    size_bytes: int
    sha256: str | None
    fingerprint: str | None
    """As :func:`tianyu.pipelines.fits.fingerprint.fingerprint` makes it at registration."""


def check_file(stored: StoredFile) -> FileCheck:
    """Compare a file with what is stored of it; its whole content is read where that tells."""
    state, detail, place = _compare(stored)
    return FileCheck(stored.site, place, stored.size_bytes, stored.sha256, state, detail)


def _compare(stored: StoredFile) -> tuple[FileState, str, str]:
    absolute = stored.root / stored.path
    if not stored.root.is_dir():
        said = f"{stored.root} of site {stored.site} is not on this machine"
        return FileState.OUT_OF_REACH, said, str(absolute)
    try:
        path = resolve(stored.root, stored.path)
        state, detail = _compare_content(path, stored)
    except UnsafePathError as error:
        return FileState.OUT_OF_REACH, str(error), str(absolute)
    except OSError as error:
        return FileState.OUT_OF_REACH, f"it cannot be read: {error.strerror}", str(absolute)
    return state, detail, str(path)


def _compare_content(path: Path, stored: StoredFile) -> tuple[FileState, str]:
    if not path.is_file():
        return FileState.MISSING, "it was moved or deleted"
    size = path.stat().st_size
    if size != stored.size_bytes:
        return FileState.CHANGED, f"it had {stored.size_bytes} bytes and has {size} now"
    if stored.sha256 is not None:
        now = checksum(path)
        is_same, how = now == stored.sha256, "SHA-256 of the whole file"
        difference = f"its SHA-256 is {now} now"
    elif stored.fingerprint is not None:
        is_same = fingerprint(path).header_sha256 == stored.fingerprint
        how = "size, first and last 64 KiB"
        difference = "its first or last 64 KiB differ from those registered"
    else:
        return FileState.UNKNOWN, "no checksum was stored"
    if is_same:
        return FileState.UNCHANGED, f"{how} compared just now"
    return FileState.CHANGED, difference
