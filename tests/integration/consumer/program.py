"""Consumers as programs of their own, so that they can be signalled, stopped and killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from tests.integration.consumer.yard import SITE, Yard, until

ROOT = Path(__file__).resolve().parents[3]
MODULE = "tests.integration.consumer.run_consumer"


@dataclass
class Program:
    """One running consumer."""

    popen: subprocess.Popen[bytes]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the consumer alone."""
        self.popen.send_signal(number)

    def give_up(self) -> int:
        """Ask it twice to end; return the exit status."""
        self.signal(signal.SIGTERM)
        # Two equal signals that arrive at once are one.
        time.sleep(0.5)
        self.signal(signal.SIGTERM)
        return self.wait()

    def children(self) -> list[psutil.Process]:
        """Return the processes in which its steps run."""
        found = psutil.Process(self.popen.pid).children()
        return [child for child in found if any("spawn_main" in a for a in child.cmdline())]

    def wait(self) -> int:
        """Return the exit status."""
        return self.popen.wait(30.0)


@contextmanager
def program(yard: Yard, **options: Any) -> Iterator[Program]:
    """Start a consumer as a program; kill it at the end of the block if it still runs."""
    options = {"site": SITE, "poll_s": 0.05, **options}
    arguments = [sys.executable, "-m", MODULE, yard.database.text_url, json.dumps(options)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with (
        (yard.folder / "program.log").open("ab") as log,
        subprocess.Popen(
            arguments, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, stderr=log
        ) as popen,
    ):
        try:
            yield Program(popen)
        finally:
            popen.kill()


def gone(processes: list[psutil.Process]) -> bool:
    """Tell whether none of the processes lives."""
    return all(not p.is_running() or p.status() == psutil.STATUS_ZOMBIE for p in processes)


def until_running(yard: Yard, pid: int) -> None:
    """Wait until a process runs."""
    until(lambda: yard.row(pid).state == "running", patience_s=40.0)
