"""The folder of one consumer for notes of its children, and what killed consumers left of theirs.

A living consumer holds a lock on a file in its folder, which the system lets go when it dies,
however it does: so the folders of the dead are told from those of the living without guessing
by process numbers, which containers that share a folder do not share.
"""

import importlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import IO

PREFIX = "tianyu-consumer-"
LOAD_PREFIX = "tianyu-load-"
"""Of the files through which rows are loaded; see :mod:`tianyu.schema.loadfile`."""

LOCK = "lock"

YOUNG_S = 60.0
"""Between making a folder and locking it lie microseconds."""

LOAD_AGE_S = 86_400.0
"""No load of rows takes a day."""


def _load_fcntl() -> ModuleType | None:
    try:
        return importlib.import_module("fcntl")
    except ImportError:  # Windows does not let anybody delete an open file anyway
        return None


_fcntl = _load_fcntl()


class Scratch:
    """A temporary folder that is known to be in use for as long as this process lives."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock: IO[bytes] = (self.path / LOCK).open("wb")
        _try_lock(self._lock)

    def remove(self) -> None:
        """Delete it; what cannot be deleted is left to whoever looks for stale ones."""
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)


def remove_stale(*, dry_run: bool = False) -> list[Path]:
    """Delete what killed processes of this user left in the folder for temporary files.

    Returns
    -------
    list of Path
        What was deleted, or would be.
    """
    stale = list(_stale()) if _fcntl is not None else []
    for path in stale if not dry_run else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return stale


def _stale() -> Iterator[Path]:
    place, now = Path(tempfile.gettempdir()), time.time()
    for path in sorted([*place.glob(f"{PREFIX}*"), *place.glob(f"{LOAD_PREFIX}*.tsv")]):
        try:
            status = path.lstat()
        except FileNotFoundError:
            continue
        if path.is_symlink() or status.st_uid != os.geteuid():
            continue
        age_s = now - status.st_ctime
        if path.is_dir():
            if age_s > YOUNG_S and not _is_held(path / LOCK):
                yield path
        elif age_s > LOAD_AGE_S:
            yield path


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("rb") as file:
            return not _try_lock(file)
    except FileNotFoundError:
        return False


def _try_lock(file: IO[bytes]) -> bool:
    if _fcntl is None:
        return True
    try:
        _fcntl.flock(file, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
    except OSError:
        return False
    return True
