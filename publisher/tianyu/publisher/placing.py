"""Bringing raw files under a site's root."""

import os
import shutil
import uuid
from enum import StrEnum
from pathlib import Path

from tianyu.schema.paths import resolve


class Placement(StrEnum):
    """How a raw file comes under the site's root."""

    LINK = "link"
    """Hard link where the file system allows it, else a copy: costs no space, and the frame
    stays when the original is moved or deleted."""
    COPY = "copy"
    MOVE = "move"


def place(source: Path, root: Path, relative: str, placement: Placement) -> Path:
    """Bring a file to its place under the root; do nothing when it is there already.

    The file appears under its final name whole or not at all.

    Raises
    ------
    OSError
        If the disk does not take it.
    UnsafePathError
        If the path leads out of the root.
    """
    target = resolve(root, relative)
    if target.exists() and (target.samefile(source) or _same_size(source, target)):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        if placement is Placement.LINK:
            _link_or_copy(source, temporary)
        else:
            shutil.copyfile(source, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    if placement is Placement.MOVE:
        source.unlink()
    return target


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without hard links.
        shutil.copyfile(source, target)


def _same_size(source: Path, target: Path) -> bool:
    return source.stat().st_size == target.stat().st_size
