"""Bringing raw files under a site's root."""

import os
import shutil
import uuid
from enum import StrEnum
from pathlib import Path, PurePosixPath

from tianyu.pipelines.fits import fingerprint
from tianyu.schema.crashpoints import CrashPoint, crash_point
from tianyu.schema.paths import product_path, raw_path, received_path, resolve


class Placement(StrEnum):
    """How a raw file comes under the site's root."""

    LINK = "link"
    """Hard link where the file system allows it, else a copy: costs no space, and the frame
    stays when the original is moved or deleted."""
    COPY = "copy"
    MOVE = "move"
    """Like a link; the original goes once the frame is registered, see :func:`take_away`."""


def own_folders(root: Path) -> list[Path]:
    """Return the folders under a root that we fill ourselves: raw frames, products, copies.

    Examples
    --------
    >>> [folder.name for folder in own_folders(Path("site"))]
    ['raw', 'runs', 'received']
    """
    product = product_path(0, "step", 1, 1, "product.fits")
    paths = raw_path(0, "frame.fits"), product, received_path(0, "frame.fits")
    return [root / PurePosixPath(path).parts[0] for path in paths]


def place(source: Path, root: Path, relative: str, placement: Placement) -> Path:
    """Bring a file to its place under the root; do nothing when it is there already.

    The file appears under its final name whole or not at all. The original stays.

    Parameters
    ----------
    source : Path
        A symbolic link is followed: what is placed is the file itself.
    root : Path
        Root folder of the site.
    relative : str
        Where to, as :func:`tianyu.schema.paths.raw_path` says.
    placement : Placement

    Returns
    -------
    Path
        Absolute.

    Raises
    ------
    FileExistsError
        If another file is there: a row may name it, so it is never overwritten.
    OSError
        If the disk does not take it; nothing is left behind then.
    UnsafePathError
        If the path leads out of the root.
    """
    target = resolve(root, relative)
    if target.exists():
        if is_same_file(source, target):
            return target
        raise FileExistsError(
            f"{target} is another file than {source}; rename one of them and register it again"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # Short, since the final name may already be as long as the file system takes.
    temporary = target.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        if placement is Placement.COPY:
            _copy(source, temporary)
        else:
            _link_or_copy(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    crash_point(CrashPoint.FRAME_COPIED)
    return target


def take_away(source: Path, target: Path) -> None:
    """Remove the original of a moved frame; only after its row has been committed.

    Registered from the very place where it lies, a file stays.

    Raises
    ------
    OSError
        If the folder does not allow it.
    """
    if source.absolute() != target and source.resolve() != target.resolve():
        source.unlink()


def is_same_file(source: Path, target: Path) -> bool:
    """Tell whether two paths hold the same frame: one file, or the same fingerprint.

    Frames of one camera are all of one size, so sizes alone tell nothing.
    """
    return target.samefile(source) or fingerprint(source) == fingerprint(target)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        # A hard link to a symbolic link would be another symbolic link, out of the root.
        os.link(source.resolve(), target)
    except OSError:
        # Another file system, or one without hard links.
        target.unlink(missing_ok=True)
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    # The row that will name it, or the removal of the original, must not outlive a power cut.
    with target.open("rb+") as file:
        os.fsync(file.fileno())
