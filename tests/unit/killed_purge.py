"""``tianyu purge`` killed at one step after the other: ``python -m tests.unit.killed_purge URL``.

A program of its own, since it forks. Each copy of it dies where the previous one got one step
further; the last one gets to the end. Prints after each what is on the disk and not in the
database, and the other way round.
"""

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event, select

# Imported before the first fork, so that no copy has to.
import tianyu.cli.retention.command as _loaded  # noqa: F401
from tianyu.cli.main import app
from tianyu.schema import migrate as _loaded_too  # noqa: F401
from tianyu.schema.database import Database
from tianyu.schema.tables import ImageCopy, Site

KILLED = 9


def die_at(step: int) -> None:
    """End this process without a word at the n-th deletion of a file, or commit."""
    steps = itertools.count()
    unlink = Path.unlink

    def point(*_: Any) -> None:
        if next(steps) == step:
            os._exit(KILLED)

    def deadly_unlink(path: Path, missing_ok: bool = False) -> None:
        point()
        unlink(path, missing_ok=missing_ok)
        point()

    Path.unlink = deadly_unlink  # type: ignore[method-assign]
    # Called before the COMMIT is sent, and what follows is after it.
    event.listen(Engine, "commit", point)


def state(url: str) -> dict[str, list[str]]:
    """Return files without a row, and rows without a file."""
    database = Database(url)
    with database.read() as connection:
        root = Path(connection.scalars(select(Site.root)).one())
        named = set(connection.scalars(select(ImageCopy.path)))
    database.dispose()
    there = {path.relative_to(root).as_posix() for path in root.rglob("*.fits")}
    return {"unnamed": sorted(there - named), "missing": sorted(named - there)}


def main(url: str, arguments: list[str]) -> None:
    """Kill, look, and go on until nothing is left to do."""
    for step in itertools.count():
        child = os.fork()
        if child == 0:
            die_at(step)
            app(
                ["purge", "--database", url, "--kind", "intermediate", *arguments],
                standalone_mode=False,
            )
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), **state(url)}), flush=True)
        if os.waitstatus_to_exitcode(status) != KILLED:
            return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
