"""Files under a site's root that no row will ever name: of attempts that failed or broke off.

A file is surely an orphan when nobody can commit a row for it any more. The attempt that wrote
it is over, which the fence of its claim guarantees, and it has lain there for a while.
"""

import os
import re
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from tianyu.publisher.placing import own_folders
from tianyu.publisher.transfers import TRANSFER
from tianyu.schema.paths import RECEIVED_FOLDER
from tianyu.schema.pid import to_text
from tianyu.schema.states import State
from tianyu.schema.tables import Image, ImageCopy, Process
from tianyu.schema.transitions.batches import in_batches

_PRODUCT = re.compile(r"^\.?(?P<pid>[0-9]{1,19})\.(?P<attempt>[0-9]{1,9})\.")
_TEMPORARY = re.compile(r"^\..+\.tmp$")
_RECEIVED = f"{RECEIVED_FOLDER}/"
_FOLDER = re.compile(r"^runs/(?P<run>[0-9]+)/(?P<command>[^/]+)/[^/]+$")


@dataclass(frozen=True)
class Orphan:
    """One file; ``path`` is relative to the site's root.

    Attributes
    ----------
    is_sure : bool
        False: a person must decide, and it stays.
    """

    path: str
    size_bytes: int
    age_s: float
    why: str
    is_sure: bool


@dataclass(frozen=True)
class _Found:
    path: str
    size_bytes: int
    age_s: float
    is_temporary: bool
    pid: int | None
    attempt: int | None


def find_orphans(connection: Connection, root: Path, site_id: int, age_s: float) -> list[Orphan]:
    """Return what no row names, by path.

    Parameters
    ----------
    connection : Connection
        Asked after the disk was: what is committed meanwhile has its row.
    root : Path
        Root folder of the site; symbolic links in it are neither followed nor touched.
    site_id : int
    age_s : float
        Younger files are left alone, seconds.
    """
    found = [file for file in _files(root) if file.age_s >= age_s]
    pids = {file.pid for file in found if file.pid is not None}
    attempts = _attempts(connection, pids)
    named = _named(connection, pids, site_id)
    busy = _busy_folders(connection)
    orphans = [
        _judge(file, attempts, busy) for file in sorted(found, key=lambda file: file.path)
        if file.path not in named
    ]  # fmt: skip
    return [orphan for orphan in orphans if orphan is not None]


def _judge(
    file: _Found, attempts: dict[int, tuple[bool, int]], busy: Collection[tuple[int, str]]
) -> Orphan | None:
    def orphan(why: str, *, is_sure: bool = True) -> Orphan:
        return Orphan(file.path, file.size_bytes, file.age_s, why, is_sure)

    if file.pid is None or file.attempt is None:
        if file.path.startswith(_RECEIVED) and any(command == TRANSFER for _, command in busy):
            return None
        place = _FOLDER.match(file.path)
        if place is not None and (int(place["run"]), place["command"]) in busy:
            return None
        return orphan("half-written, and nobody writes there")
    if file.pid not in attempts:
        return orphan(
            f"of process {to_text(file.pid)}, which is not in this database; another database "
            "may use the same root, so it stays",
            is_sure=False,
        )
    is_running, latest = attempts[file.pid]
    if is_running and file.attempt >= latest:
        return None
    what = "half-written by" if file.is_temporary else "left by"
    return orphan(f"{what} attempt {file.attempt} of process {to_text(file.pid)}, which is over")


def _files(root: Path) -> Iterator[_Found]:
    now = time.time()
    for folder in own_folders(root):
        for place, _, names in os.walk(folder):
            for name in names:
                is_temporary = _TEMPORARY.match(name) is not None
                product = _PRODUCT.match(name) if folder.name == "runs" else None
                if not is_temporary and product is None:
                    continue
                path = Path(place, name)
                try:
                    status = path.lstat()
                except FileNotFoundError:  # renamed or removed meanwhile: alive
                    continue
                if path.is_symlink():
                    continue
                yield _Found(
                    path=path.relative_to(root).as_posix(),
                    size_bytes=status.st_size,
                    # A link keeps the time of what it links to, but not that of its change.
                    age_s=now - max(status.st_mtime, status.st_ctime),
                    is_temporary=is_temporary,
                    pid=int(product["pid"]) if product else None,
                    attempt=int(product["attempt"]) if product else None,
                )


def _attempts(connection: Connection, pids: Collection[int]) -> dict[int, tuple[bool, int]]:
    """Return whether processes run, and how often they were claimed."""
    found = {}
    for ids in in_batches(pids):
        query = select(Process.id, Process.state, Process.attempt).where(Process.id.in_(ids))
        for row in connection.execute(query):
            found[row.id] = (row.state == State.RUNNING.value, row.attempt)
    return found


def _named(connection: Connection, pids: Collection[int], site_id: int) -> set[str]:
    named: set[str] = set()
    for ids in in_batches(pids):
        query = (
            select(ImageCopy.path)
            .join(Image, Image.id == ImageCopy.image_id)
            .where(Image.birth.in_(ids), ImageCopy.site_id == site_id)
        )
        named.update(connection.scalars(query))
    return named


def _busy_folders(connection: Connection) -> set[tuple[int, str]]:
    """Return runs and commands of which something is running, and may be writing."""
    query = (
        select(Process.run_id, Process.command)
        .where(Process.state == State.RUNNING.value)
        .distinct()
    )
    return {(row.run_id, row.command) for row in connection.execute(query)}
