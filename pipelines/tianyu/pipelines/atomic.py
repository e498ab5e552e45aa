"""Files that are there whole or not at all, whatever dies while they are written."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tianyu.schema.crashpoints import CrashPoint, crash_point

TEMPORARY_ENDING = ".tmp"
"""What a dead writer leaves behind begins with a dot and ends so."""


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that becomes ``target`` when the block ends without an error.

    The content is on the disk before the name is, and the name before the block is left.

    Raises
    ------
    OSError
        If the disk does not take it; nothing is left behind then.
    """
    # Short, since the final name may already be as long as the file system takes.
    temporary = target.with_name(f".{uuid.uuid4().hex}{TEMPORARY_ENDING}")
    try:
        with temporary.open("xb") as file:
            crash_point(CrashPoint.FILE_BEGUN)
            yield file
            file.flush()
            os.fsync(file.fileno())
        crash_point(CrashPoint.FILE_WRITTEN)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(target.parent)
    crash_point(CrashPoint.FILE_RENAMED)


def sync_folder(folder: Path) -> None:
    """Force the new name itself to the disk; Windows has no such call and needs none."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
