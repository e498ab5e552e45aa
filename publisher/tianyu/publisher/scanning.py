"""Looking at files before anything is registered: what is a frame, and what is not, and why."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from tianyu.pipelines.errors import PermanentError
from tianyu.pipelines.fits import (
    FrameHeader,
    fingerprint,
    is_fits_name,
    read_header,
    read_pixels,
)
from tianyu.publisher.naming import plain_stem, split_endings


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


def find_files(
    paths: Iterable[Path], *, leave_out: Sequence[Path] = ()
) -> tuple[list[Path], list[Rejected]]:
    """List the FITS files among files and folders (with their sub-folders), sorted by name.

    Parameters
    ----------
    paths : iterable of Path
        A file named here is listed whatever its ending.
    leave_out : sequence of Path
        Folders not to be entered, such as our own products within a folder of frames.
    """
    closed = [folder.resolve() for folder in leave_out]
    # By where they lie, so that one file given in two spellings is one.
    files: dict[Path, Path] = {}
    rejected = []
    for path in paths:
        if path.is_dir():
            shut = [folder for folder in closed if not path.resolve().is_relative_to(folder)]
            for file in sorted(path.rglob("*")):
                if is_fits_name(file) and file.is_file() and not _is_in(file, shut):
                    files.setdefault(file.resolve(), file)
        elif path.is_file():
            files.setdefault(path.resolve(), path)
        else:
            rejected.append(Rejected(path, f"{path} does not exist; check the spelling"))
    return sorted(files.values(), key=lambda p: (p.name, str(p))), rejected


def scan(
    paths: Iterable[Path],
    progress: Callable[[int, int], None] = _ignore,
    *,
    leave_out: Sequence[Path] = (),
) -> Scan:
    """Read the headers of all frames; what cannot be read is rejected with its reason.

    A frame that is there twice is taken once: as a copy by its content, beside its own
    compressed version by its name and the start of its exposure, and with an edited header by
    its pixels.
    """
    files, rejected = find_files(paths, leave_out=leave_out)
    by_content: dict[str, ScannedFrame] = {}
    by_exposure: dict[tuple[object, ...], ScannedFrame] = {}
    by_moment: dict[tuple[object, ...], list[ScannedFrame]] = {}
    for done, path in enumerate(files):
        progress(done, len(files))
        frame = _read(path)
        if isinstance(frame, Rejected):
            rejected.append(frame)
            continue
        twin = by_content.setdefault(frame.fingerprint, frame)
        if twin is not frame:
            reason = f"{path.name} has the same content as {twin.path}; it is taken once"
            rejected.append(Rejected(path, reason))
            continue
        twin = by_exposure.setdefault(_exposure_key(frame), frame)
        if twin is not frame and is_recompressed(frame, twin.path.name, twin.header.utc_start):
            del by_content[frame.fingerprint]
            reason = f"{path.name} is the same exposure as {twin.path.name}; it is taken once"
            rejected.append(Rejected(path, reason))
            continue
        twins = by_moment.setdefault(_moment_key(frame), [])
        same = next((other for other in twins if _has_same_pixels(frame, other)), None)
        if same is not None:
            del by_content[frame.fingerprint]
            reason = f"{path.name} holds the pixels of {same.path.name}; it is taken once"
            rejected.append(Rejected(path, reason))
            continue
        twins.append(frame)
    progress(len(files), len(files))
    ordered = sorted(
        by_content.values(), key=lambda f: (str(f.header.utc_start or ""), f.path.name, str(f.path))
    )
    return Scan(tuple(ordered), tuple(rejected))


def is_recompressed(frame: ScannedFrame, name: str, utc_start: datetime | None) -> bool:
    """Tell whether a frame is the one of this name and time, kept with other endings.

    The same name in two folders is no sign of it: cameras number their files anew every night.
    """
    return (
        utc_start is not None
        and utc_start == frame.header.utc_start
        and plain_stem(name) == plain_stem(frame.path.name)
        and split_endings(name)[1].lower() != split_endings(frame.path.name)[1].lower()
    )


def _read(path: Path) -> ScannedFrame | Rejected:
    try:
        header = read_header(path)
        identity = fingerprint(path)
    except PermanentError as error:
        return Rejected(path, str(error))
    except OSError as error:
        why = error.strerror or str(error)
        return Rejected(path, f"{path.name} cannot be read ({why}); check the file and its rights")
    return ScannedFrame(path, header, identity.header_sha256, identity.size_bytes)


def _exposure_key(frame: ScannedFrame) -> tuple[object, ...]:
    header = frame.header
    camera = header.telescope_name, header.instrument_name, header.filter_name
    return (plain_stem(frame.path.name), header.utc_start, header.kind, *camera)


def _moment_key(frame: ScannedFrame) -> tuple[object, ...]:
    header = frame.header
    camera = header.telescope_name, header.instrument_name, header.height, header.width
    return (header.utc_start, header.kind, header.exposure_s, header.filter_name, *camera)


def _has_same_pixels(frame: ScannedFrame, other: ScannedFrame) -> bool:
    """Tell whether two frames that claim one moment are one exposure.

    One camera cannot begin two exposures within the time that one takes; that they claim to
    is rare enough to read their pixels.
    """
    header = frame.header
    if header.utc_start is None or header.exposure_s <= (header.utc_precision_s or 0.0):
        return False
    try:
        return np.array_equal(read_pixels(frame.path), read_pixels(other.path), equal_nan=True)
    except (PermanentError, OSError):
        # Then it is found unusable when its turn comes, and with its own reason.
        return False


def _is_in(file: Path, folders: Sequence[Path]) -> bool:
    if not folders:
        return False
    # Where the name lies counts: a link may well point to what has been placed before.
    lies_in = file.parent.resolve()
    return any(lies_in.is_relative_to(folder) for folder in folders)
