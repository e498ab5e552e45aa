"""A site on a real Docker engine, from nothing to light curves: ``python -m tests.compose``.

Builds the image, brings everything up, registers a night from the host, scales consumers and
restarts servers while it is reduced, asks for the light curve with MySQL's own client, compares
every row with the embedded reduction. In the middle of it everything is backed up, wiped, restored
and goes on. Ends with 0 where all of it did, and where there is no engine, which it says.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.compose.curves import compare
from tests.compose.report import print_table
from tests.compose.stack import Stack, missing
from typer.testing import CliRunner

from tianyu.cli.main import app

HATP32 = [
    "--target", "HAT-P-32", "--ra", "31.042825", "--dec", "46.687837",
    "--target-pixel", "328.5,337.6@HATP-32171220041512",
    "--site-lat", "31.68", "--site-lon", "-110.88", "--site-alt", "2000",
]  # fmt: skip

CHUNK = "4"
"""Small, so that something is left to do while things are restarted."""

CURVE = (
    "SELECT ROUND(bjd_tdb_mid, 5) AS bjd_tdb, ROUND(relative_flux, 4) AS relative_flux, "
    "ROUND(relative_flux_error, 4) AS error FROM light_curve WHERE source_name = 'HAT-P-32' AND "
    "is_default_radius = 1 AND frame_is_good = 1 ORDER BY bjd_tdb_mid LIMIT 5"
)
PATIENCE_S = 1500.0


def main() -> int:
    """Run the whole story; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    beside = Path(__file__).resolve().parents[3] / "shared" / "data" / "hatp32"
    parser.add_argument("--frames", type=Path, default=beside, help="the frames of HAT-P-32")
    parser.add_argument("--keep", action="store_true", help="leave everything running at the end")
    options = parser.parse_args()
    lacks = missing()
    if lacks or not options.frames.is_dir():
        print(f"skipped: {lacks or f'no frames in {options.frames}'}")
        return 0
    folder = Path(tempfile.mkdtemp(prefix="tianyu-compose-"))
    stack = Stack(options.frames, folder / "secrets")
    try:
        differing = _story(stack, folder)
    finally:
        if not options.keep:
            stack.remove()
            shutil.rmtree(folder)
    print("light curves equal to the embedded ones" if not differing else "NOT EQUAL")
    return 1 if differing else 0


def _story(stack: Stack, folder: Path) -> int:
    stack.make_secrets()
    stack.remove()
    with timed("docker compose build"):
        stack.compose("build", timeout_s=1800)
    with timed("docker compose up --detach --wait"):
        stack.compose("up", "--detach", "--wait", "--wait-timeout", "300")
    with timed("tianyu register /frames --placement copy"):
        stack.tianyu("register", "/frames", "--placement", "copy", "--chunk", CHUNK, *HATP32)
    with timed("reduced, with everything restarted, wiped and restored on the way"):
        _disturb(stack)
        _wipe_and_restore(stack, folder)
        _wait(stack, lambda progress: progress.is_over)
    print(stack.sql(CURVE))
    print_table(stack)
    with timed("tianyu reduce, embedded"):
        embedded = _embedded(stack.frames, folder / "embedded")
    rows, differing = compare(stack.database_url("reader"), embedded)
    print(f"{rows} rows of light curves beside the embedded reduction")
    for name, count in differing.items():
        print(f"{name}: {count} rows differ")
    return differing.total() if rows else 1


class Progress:
    """How far the newest run is."""

    def __init__(self, stack: Stack) -> None:
        url = stack.database_url("reader")
        answer = CliRunner().invoke(app, ["status", "--json", "--database", url])
        # While MySQL restarts there is no answer.
        runs = json.loads(answer.stdout)["runs"] if answer.exit_code == 0 else []
        known: list[dict[str, Any]] = [run["run"] for run in runs]
        newest = max(known, key=lambda run: int(run["run"]), default={})
        self.run: int = newest.get("run", 0)
        states = newest.get("processes", {})
        self.succeeded: int = states.get("succeeded", 0)
        self.total: int = sum(states.values())
        self.is_over: bool = self.total > 0 and self.succeeded == self.total
        if states.get("failed"):
            raise AssertionError(f"processes failed: {answer.stdout}")


def _wait(stack: Stack, is_reached: Callable[[Progress], bool]) -> Progress:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        progress = Progress(stack)
        if is_reached(progress):
            return progress
        time.sleep(2.0)
    raise AssertionError(f"not there after {PATIENCE_S:.0f} s: {stack.tianyu('status')}")


def _disturb(stack: Stack) -> None:
    """Scale and restart while work goes on."""
    steps: list[tuple[float, tuple[str, ...]]] = [
        (0.05, ("up", "--detach", "--no-recreate", "--scale", "consumer-cpu=4")),
        (0.2, ("restart", "mysql")),
        (0.35, ("restart", "rabbitmq")),
        (0.5, ("restart", "manager")),
        (0.6, ("up", "--detach", "--no-recreate", "--scale", "consumer-cpu=1")),
    ]
    for share, command in steps:
        progress = _wait_for(stack, share)
        where = f"{progress.succeeded} of {progress.total} processes done"
        with timed(f"docker compose {' '.join(command)} ({where})"):
            stack.compose(*command)


def _wait_for(stack: Stack, share: float) -> Progress:
    def is_reached(now: Progress) -> bool:
        return now.total > 0 and now.succeeded >= share * now.total

    return _wait(stack, is_reached)


def _embedded(frames: Path, out: Path) -> str:
    answer = CliRunner().invoke(app, ["reduce", str(frames), "--out", str(out), *HATP32])
    assert answer.exit_code == 0, answer.output
    return f"sqlite:///{out / 'tianyu.sqlite'}"


def _wipe_and_restore(stack: Stack, folder: Path) -> None:
    _wait_for(stack, 0.7)
    with timed("sh deploy/backup.sh, while it works"):
        backup = stack.script("deploy/backup.sh", str(folder / "backup")).split()[-1]
    with timed("docker compose down --volumes: everything gone"):
        stack.remove()
    with timed("sh deploy/restore.sh"):
        stack.script("deploy/restore.sh", backup)
    progress = Progress(stack)
    print(f"          {progress.succeeded} of {progress.total} processes done in what was restored")
    assert progress.succeeded < progress.total, "the backup came too late to show anything"


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long something took."""
    begin = time.monotonic()
    yield
    print(f"{time.monotonic() - begin:7.1f} s  {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
