"""The night that is reduced by containers, how far it is, and the same night embedded."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.compose.curves import compare
from tests.compose.stack import Stack
from typer.testing import CliRunner

from tianyu.cli.main import app

HATP32 = [
    "--target", "HAT-P-32", "--ra", "31.042825", "--dec", "46.687837",
    "--target-pixel", "328.5,337.6@HATP-32171220041512",
    "--site-lat", "31.68", "--site-lon", "-110.88", "--site-alt", "2000",
]  # fmt: skip

CHUNK = "4"
"""Small, so that something is left to do while things are restarted."""

PATIENCE_S = 1500.0


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


def wait(stack: Stack, is_reached: Callable[[Progress], bool]) -> Progress:
    """Wait until the newest run is far enough.

    Raises
    ------
    AssertionError
        If a process failed, or it takes too long.
    """
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        progress = Progress(stack)
        if is_reached(progress):
            return progress
        time.sleep(2.0)
    raise AssertionError(f"not there after {PATIENCE_S:.0f} s: {stack.tianyu('status')}")


def is_embedded_equal(stack: Stack, frames: Path, out: Path) -> bool:
    """Reduce the frames without any server; say whether each row of light curves is the same."""
    with timed("tianyu reduce, embedded"):
        answer = CliRunner().invoke(app, ["reduce", str(frames), "--out", str(out), *HATP32])
        assert answer.exit_code == 0, answer.output
    url = f"sqlite:///{out / 'tianyu.sqlite'}"
    rows, differing = compare(stack.database_url("reader"), url)
    print(f"{rows} rows of light curves beside the embedded reduction")
    for name, count in differing.items():
        print(f"{name}: {count} rows differ")
    return rows > 0 and not differing


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long something took."""
    begin = time.monotonic()
    yield
    print(f"{time.monotonic() - begin:7.1f} s  {what}", flush=True)
