"""Sites, groups, queues and workers: who is where, looked up or made on first use."""

import os
import platform
import uuid
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sqlalchemy import Connection, Insert, Select, insert, select, update
from sqlalchemy.exc import IntegrityError

from tianyu.schema.dialects import now_us
from tianyu.schema.engine_tables import HardwareGroup, Queue, Site, Worker
from tianyu.schema.errors import NotFoundError


def code_version() -> str:
    """Return the installed version of tianyu."""
    try:
        return version("tianyu")
    except PackageNotFoundError:
        return "unknown"


COMPUTING_PACKAGES = ("numpy", "scipy", "sep", "astropy", "sqlalchemy")
"""Whose version may change a digit of a light curve, or of what is read back of it."""


def software_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that results depend on."""
    found = {"tianyu": code_version(), "python": platform.python_version()}
    for name in COMPUTING_PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found | {"platform": platform.platform()}


def ensure_site(connection: Connection, name: str, root: Path, lease_s: float) -> int:
    """Return the id of a site; make it, or move its root, when needed."""
    place = str(root.resolve())
    find = select(Site.id).where(Site.name == name)
    site = insert(Site).values(name=name, root=place, lease_s=lease_s)
    site_id = _found_or_made(connection, find, site)
    here = Site.id == site_id
    connection.execute(update(Site).where(here, Site.root != place).values(root=place))
    return site_id


def find_site(connection: Connection, name: str) -> tuple[int, Path, float]:
    """Return id, root folder and lease length of a site.

    Raises
    ------
    NotFoundError
        If there is no site of that name; the text lists the known ones.
    """
    query = select(Site.id, Site.root, Site.lease_s).where(Site.name == name)
    row = connection.execute(query).one_or_none()
    if row is None:
        known = ", ".join(connection.scalars(select(Site.name).order_by(Site.name))) or "none"
        raise NotFoundError(f"there is no site {name!r}; known sites: {known}")
    return int(row.id), Path(row.root), float(row.lease_s)


def ensure_queue(connection: Connection, site_id: int, group: str) -> int:
    """Return the id of the queue of a group at a site; make it when needed."""
    find_group = select(HardwareGroup.id).where(HardwareGroup.name == group)
    group_id = _found_or_made(connection, find_group, insert(HardwareGroup).values(name=group))
    find_queue = select(Queue.id).where(Queue.site_id == site_id, Queue.group_id == group_id)
    queue = insert(Queue).values(site_id=site_id, group_id=group_id)
    return _found_or_made(connection, find_queue, queue)


def register_worker(connection: Connection, site_id: int, groups: Sequence[str]) -> str:
    """Insert a row for this start of a consumer and return its fresh id."""
    worker_id = str(uuid.uuid4())
    connection.execute(
        insert(Worker).values(
            id=worker_id,
            host=platform.node(),
            os_pid=os.getpid(),
            site_id=site_id,
            groups=",".join(groups),
            code_version=code_version(),
            software=software_versions(),
            started_us=now_us(),
            last_seen_us=now_us(),
        )
    )
    return worker_id


def touch_worker(connection: Connection, worker_id: str, *, stopped: bool = False) -> None:
    """Note that a worker is alive, or that it has stopped in an orderly way."""
    values: dict[str, object] = {"last_seen_us": now_us()}
    if stopped:
        values["stopped_us"] = now_us()
    connection.execute(update(Worker).where(Worker.id == worker_id).values(**values))


def _found_or_made(connection: Connection, find: Select[int], make: Insert) -> int:
    """Return the id of a row, inserting it where it is missing."""
    found = connection.scalar(find)
    if found is None:
        # Consumers that start together all find nothing and all insert: the first one wins.
        with suppress(IntegrityError), connection.begin_nested():
            connection.execute(make)
        found = connection.execute(find).scalar_one()
    return int(found)
