"""Looking at files before anything is registered: what is a frame, and what is not, and why."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tianyu.pipelines.errors import PermanentError
from tianyu.pipelines.fits import FrameHeader, fingerprint, is_fits_name, read_header


@dataclass(frozen=True)
class ScannedFrame:
    """A readable frame that is not registered yet."""

    path: Path
    header: FrameHeader
    fingerprint: str
    size_bytes: int


@dataclass(frozen=True)
class Rejected:
    """A file that cannot be used, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Scan:
    """What a set of files and folders holds; frames in the order of their exposures."""

    frames: tuple[ScannedFrame, ...]
    rejected: tuple[Rejected, ...]


def _ignore(_done: int, _total: int) -> None:
    """Take progress that nobody wants to see."""


def find_files(paths: Iterable[Path]) -> tuple[list[Path], list[Rejected]]:
    """List the FITS files among files and folders (with their sub-folders), sorted by name."""
    files: set[Path] = set()
    rejected = []
    for path in paths:
        if path.is_dir():
            files.update(p for p in path.rglob("*") if p.is_file() and is_fits_name(p))
        elif path.is_file():
            files.add(path)
        else:
            rejected.append(Rejected(path, f"{path} does not exist; check the spelling"))
    return sorted(files, key=lambda p: (p.name, str(p))), rejected


def scan(paths: Iterable[Path], progress: Callable[[int, int], None] = _ignore) -> Scan:
    """Read the headers of all frames; what cannot be read is rejected with its reason.

    A file that is there twice, by content, is taken once.
    """
    files, rejected = find_files(paths)
    frames: dict[str, ScannedFrame] = {}
    for done, path in enumerate(files):
        progress(done, len(files))
        try:
            header = read_header(path)
            identity = fingerprint(path)
        except PermanentError as error:
            rejected.append(Rejected(path, str(error)))
            continue
        known = frames.get(identity.header_sha256)
        if known is not None:
            reason = f"{path.name} has the same content as {known.path.name}; it is taken once"
            rejected.append(Rejected(path, reason))
            continue
        frames[identity.header_sha256] = ScannedFrame(
            path, header, identity.header_sha256, identity.size_bytes
        )
    progress(len(files), len(files))
    ordered = sorted(frames.values(), key=lambda f: (str(f.header.utc_start or ""), f.path.name))
    return Scan(tuple(ordered), tuple(rejected))
