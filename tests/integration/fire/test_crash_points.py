"""Every place at which a program may die, one after the other, on one site that lives on.

Each time a program starts, works and dies at the next point; the one after it finds what it
left. In the end everything must have been done, once.
"""

import ast
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import settings
from sqlalchemy import func, select, update
from tests.storm.checker import check
from tests.storm.installation import ROOT, Site

from tianyu.schema.crashpoints import EXIT_CODE, VARIABLE, CrashPoint
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.engine_tables import Process
from tianyu.schema.states import State
from tianyu.schema.tables import Image, Run
from tianyu.schema.transitions import operator
from tianyu.schema.transitions.audit import audit
from tianyu.schema.transitions.claim import claim_next

PATIENCE_S = 40.0
IS_STORM = settings.get_current_profile_name() == "storm"

OF_PUBLISHERS = (
    CrashPoint.FRAME_COPIED,
    CrashPoint.BEFORE_PUBLISH_COMMIT,
    CrashPoint.AFTER_PUBLISH_COMMIT,
)

OF_SERVICES = (
    CrashPoint.BEFORE_TAKE_COMMIT,
    CrashPoint.AFTER_COMMIT_BEFORE_PUBLISH,
    CrashPoint.AFTER_PUBLISH_BEFORE_CONFIRM,
    CrashPoint.AFTER_CONFIRM,
    CrashPoint.AFTER_REAP_BEFORE_COMMIT,
    CrashPoint.AFTER_BLOCKING,
    CrashPoint.BEFORE_CLAIM,
    CrashPoint.BEFORE_CLAIM_COMMIT,
    CrashPoint.AFTER_CLAIM_BEFORE_ACKNOWLEDGE,
    CrashPoint.AFTER_CLAIM_BEFORE_ASSIGN,
    CrashPoint.BEFORE_FAILURE_RECORDED,
    CrashPoint.AFTER_REPORT,
)

OF_CHILDREN = (
    CrashPoint.BEFORE_STEP,
    CrashPoint.AFTER_STEP,
    CrashPoint.AFTER_PRODUCTS,
    CrashPoint.AFTER_SUCCESS,
    CrashPoint.BEFORE_COMMIT,
    CrashPoint.AFTER_COMMIT,
    CrashPoint.FILE_BEGUN,
    CrashPoint.FILE_WRITTEN,
    CrashPoint.FILE_RENAMED,
)


def points_in_code() -> Iterable[str]:
    """Yield the argument of every call of ``crash_point``."""
    folders = ("schema", "broker", "pipelines", "publisher", "manager", "consumer", "cli")
    for path in itertools.chain.from_iterable((ROOT / f).rglob("*.py") for f in folders):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "crash_point":
                yield ast.unparse(node.args[0])


def test_every_point_in_the_code_is_tried_and_every_point_tried_is_in_the_code() -> None:
    tried = [*OF_PUBLISHERS, *OF_SERVICES, *OF_CHILDREN]
    assert sorted(points_in_code()) == sorted(f"CrashPoint.{p.name}" for p in tried)
    assert set(tried) == set(CrashPoint)


def test_a_point_that_nobody_knows_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import tianyu.schema.crashpoints"],
        env={**os.environ, VARIABLE: "nowhere,exit,/tmp/x"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "'nowhere' is not a valid CrashPoint" in done.stderr


# -- services ----------------------------------------------------------------------------------


def bring_work(site: Site) -> None:
    """Publish a little of everything that managers and consumers deal with."""
    # Two branches that join, one that fails at first, and one whose worker has vanished.
    graph: list[list[int]] = [[], [], [], [0], [1], [3, 4]]
    ids = site.publish(graph, {2: {"failures": 1}})
    with site.database.write() as connection:
        vanished = claim_next(connection, [site.queue_id], "gone", 60.0)
        assert vanished is not None
        connection.execute(
            update(Process).where(Process.id == vanished.process_id).values(lease_until=1)
        )
        # Its descendant is blocked, until everything is rescued in the end.
        operator.cancel(connection, ids[4:5])


def die_at(site: Site, point: CrashPoint, way: str) -> None:
    """Let a program work until it, or its child, dies there."""
    once = site.folder / f"{point.value}.{way}"
    once.unlink(missing_ok=True)
    node = site.start("node", crash_at=f"{point.value},{way},{once}")
    deadline = time.monotonic() + PATIENCE_S
    while not once.exists():
        assert time.monotonic() < deadline, f"{point} was never reached\n{site.logs()}"
        assert node.is_running, f"it ended before {point}\n{site.logs()}"
        time.sleep(0.02)
    if point in OF_CHILDREN:
        time.sleep(0.1)
        assert node.is_running, "the death of a child killed its consumer"
        node.kill()
    else:
        assert node.wait() == (EXIT_CODE if way == "exit" else -9)
        # Whoever dies leaves its children behind; they end by themselves, or are zombies.


@pytest.mark.timeout(0 if IS_STORM else 280)
@pytest.mark.parametrize("first", ["exit", "kill"] if IS_STORM else ["exit"])
def test_whoever_dies_wherever_everything_is_done_once(site: Site, first: str) -> None:
    ways = ["exit", "kill"] if first == "exit" else ["kill", "exit"]
    # Half of them one way and half the other; a storm takes all both ways.
    for point, way in zip([*OF_SERVICES, *OF_CHILDREN], itertools.cycle(ways), strict=False):
        bring_work(site)
        die_at(site, point, way)
        census = check(site.database, site.root, is_complete=False)
        assert not census.findings, f"after {point}: {census.findings}\n{site.logs()}"
    with site.database.write() as connection:
        cancelled = Process.state == State.CANCELLED.value
        operator.rescue(connection, list(connection.scalars(select(Process.id).where(cancelled))))
    last = site.start("node")
    assert last.wait() == 0, site.logs()
    census = check(site.database, site.root)
    assert not census.findings, "\n".join(map(str, census.findings))
    assert census.processes == census.products == 6 * len(OF_SERVICES + OF_CHILDREN)


# -- publishers --------------------------------------------------------------------------------

REGISTER = """
import sys
from pathlib import Path
from tianyu.publisher.registering import RegisterRequest, register
from tianyu.schema.database import Database
from tianyu.schema.directory import ensure_site
database, root = Database(sys.argv[1]), Path(sys.argv[3])
site = database.retry(lambda c: ensure_site(c, "local", root, 60.0))
register(database, RegisterRequest([Path(sys.argv[2])], site, root))
"""


def run_publisher(*arguments: str, crash_at: str = "") -> int:
    return subprocess.run(
        [sys.executable, "-c", REGISTER, *arguments],
        env={**os.environ, VARIABLE: crash_at},
        timeout=PATIENCE_S,
        check=False,
    ).returncode


def test_a_publisher_that_dies_and_comes_again_publishes_once(tmp_path: Path) -> None:
    from tianyu.schema.migrate import upgrade

    database = Database(sqlite_url(tmp_path / "t.sqlite"))
    upgrade(database)
    write_frames(tmp_path / "night")
    arguments = (database.text_url, str(tmp_path / "night"), str(tmp_path / "root"))
    for point, way in zip(OF_PUBLISHERS, ["exit", "kill", "exit"], strict=True):
        code = run_publisher(*arguments, crash_at=f"{point.value},{way},{tmp_path / point.value}")
        assert code == (EXIT_CODE if way == "exit" else -9), point
    assert run_publisher(*arguments) == 0
    with database.read() as connection:
        numbers = [
            connection.scalar(select(func.count()).select_from(table)) for table in (Run, Image)
        ]
        assert numbers == [1, 3]
        assert audit(connection) == []
    raw = [path for path in (tmp_path / "root").rglob("*.fits*") if path.is_file()]
    assert len(raw) == 3
    database.dispose()


def write_frames(folder: Path) -> None:
    import numpy as np
    from astropy.io import fits

    folder.mkdir()
    for i in range(3):
        hdu = fits.PrimaryHDU(np.full((16, 16), 1000 + i, np.int16))
        hdu.header.update(
            IMAGETYP="LIGHT", EXPTIME=60.0, INSTRUME="Cam", TELESCOP="Tel", FILTER="r"
        )
        hdu.header["DATE-OBS"] = f"2025-03-17T02:5{i}:00"
        hdu.writeto(folder / f"{i}.fits")
