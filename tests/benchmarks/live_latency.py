"""From "file whole" to "relative flux committed", while a night comes at a frame per second.

Run it with ``python -m tests.benchmarks.live_latency [frames] [back ends]``, such as
``40 embedded,served``; it starts servers of its own. Frames are 1024² pixels with 500 stars. A
frame is whole at the moment of its renaming into the watched folder, and its row is there at the
moment that the database's clock gave to the commit's process. Frames that came before there was
a template waited for it and are counted apart. Last, the closed night is compared with the
reduction of the whole folder by `tianyu reduce`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select
from tests.integration.served.installation import Installation
from tests.servers.binaries import find_binaries
from tests.servers.mariadb import DatabaseProcess
from tests.servers.rabbitmq import BrokerProcess

from tianyu.pipelines.simulation import NightPlan, simulate_night
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.states import State
from tianyu.schema.tables import Image, Process

PROGRAM = str(Path(sys.executable).parent / "tianyu")
CADENCE_S = 1.0
WORKERS = "2"
TARGET = ("--target", "star", "--ra", "150.1", "--dec", "25.2")
PATIENCE_S = 300.0
GOAL = "goal: median 2 s, 95th percentile 5 s"
CURVES = (
    "SELECT l.x, l.y, i.name, l.radius_pix, l.flux, l.relative_flux, l.relative_flux_error, "
    "l.flags FROM light_curve AS l JOIN image AS i ON i.id = l.image_id "
    "ORDER BY l.x, l.y, i.name, l.radius_pix"
)


def main(n_frames: int = 60, back_ends: str = "embedded,served") -> None:
    """Print latencies for each back end, and whether the closed night equals the batch."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        simulate_night(NightPlan(n_light=n_frames), folder / "night", processes=2)
        batch = reduce_batch(folder)
        print(f"{n_frames} frames of 1024² at one per {CADENCE_S:g} s, {WORKERS} workers; {GOAL}")
        for back_end in back_ends.split(","):
            run = {"embedded": embedded, "served": served}[back_end]
            with run(folder) as (database, watch, close):
                whole_at = replay(folder / "night", folder / f"incoming {back_end}", watch)
                wait_until_measured(database, n_frames, watch)
                report(back_end, database, whole_at)
                close()
                same = curves(database) == batch
            print(
                f"{back_end:8}  closed night equals the batch reduction: {'yes' if same else 'NO'}"
            )


def reduce_batch(folder: Path) -> list[tuple[Any, ...]]:
    """Reduce the whole folder at once and return its light curves."""
    out = folder / "batch"
    command = [PROGRAM, "reduce", str(folder / "night"), "--out", str(out), *TARGET]
    subprocess.run([*command, "--workers", WORKERS], check=True, capture_output=True)
    database = Database(sqlite_url(out / "tianyu.sqlite"))
    found = curves(database)
    database.dispose()
    return found


def curves(database: Database) -> list[tuple[Any, ...]]:
    """Return every point of the current runs, without ids."""
    with database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(CURVES)]


@contextmanager
def embedded(folder: Path) -> Iterator[tuple[Database, "subprocess.Popen[bytes]", Any]]:
    """Watch with a SQLite file and workers of the watcher's own."""
    incoming, out = folder / "incoming embedded", folder / "live"
    incoming.mkdir()
    log = (folder / "embedded.log").open("wb")
    command = [PROGRAM, "watch", str(incoming), "--out", str(out), *TARGET, "--close"]
    watch = subprocess.Popen([*command, "--workers", WORKERS], stdout=log, stderr=log)
    while not (out / "tianyu.sqlite").exists():
        time.sleep(0.2)
    time.sleep(1.0)
    database = Database(sqlite_url(out / "tianyu.sqlite"))

    def close() -> None:
        watch.send_signal(signal.SIGINT)
        if watch.wait(PATIENCE_S) != 0:
            raise SystemExit((folder / "embedded.log").read_text())

    try:
        yield database, watch, close
    finally:
        watch.kill()
        database.dispose()


@contextmanager
def served(folder: Path) -> Iterator[tuple[Database, "subprocess.Popen[bytes]", Any]]:
    """Watch with MariaDB and RabbitMQ, a manager and a consumer as services."""
    incoming = folder / "incoming served"
    incoming.mkdir()
    binaries = find_binaries()
    database_server, broker_server = DatabaseProcess(binaries), BrokerProcess(binaries)
    database_server.start()
    broker_server.start()
    place = folder / "served"
    place.mkdir()
    with database_server.fresh_database() as url:
        site = Installation(url, broker_server.fresh_vhost(), place)
        try:
            site.run("init", "--root", str(site.root))
            site.start("manager")
            site.start("consumer", "--processes", WORKERS)
            watch = site.start("watch", str(incoming), *TARGET, "--close")

            def close() -> None:
                os.kill(watch.process.pid, signal.SIGINT)
                watch.process.wait(PATIENCE_S)
                deadline = time.monotonic() + PATIENCE_S
                while not site.is_done() and time.monotonic() < deadline:
                    time.sleep(0.5)

            yield site.database, watch.process, close
        finally:
            site.close()
            broker_server.remove()
            database_server.remove()


def replay(night: Path, incoming: Path, watch: "subprocess.Popen[bytes]") -> dict[str, float]:
    """Bring the frames into the folder on a clock; return when each light frame was whole."""
    files = sorted(night.glob("*.fits"))
    for file in files:
        if not file.name.startswith("light"):
            bring(file, incoming)
    whole_at, start = {}, time.time()
    for number, file in enumerate(f for f in files if f.name.startswith("light")):
        time.sleep(max(0.0, start + number * CADENCE_S - time.time()))
        whole_at[file.name] = bring(file, incoming)
        if watch.poll() is not None:
            raise SystemExit(f"the watch has ended with {watch.returncode}")
    return whole_at


def bring(file: Path, incoming: Path) -> float:
    """Copy a file as cameras' programs should: renamed into its place when it is whole."""
    hidden = incoming / f".{file.name}.part"
    shutil.copyfile(file, hidden)
    hidden.replace(incoming / file.name)
    return time.time()


def measured(database: Database) -> dict[str, float]:
    """Return when the relative fluxes of each frame were committed, by the database's clock."""
    query = select(Process.parameters, Process.finished_us).where(
        Process.command == "measure_live", Process.state == State.SUCCEEDED.value
    )
    with database.read() as connection:
        names = dict(tuple(row) for row in connection.execute(select(Image.id, Image.name)))
        rows = connection.execute(query).all()
    return {names[row.parameters["frames"][0]]: row.finished_us / 1e6 for row in rows}


def wait_until_measured(
    database: Database, n_frames: int, watch: "subprocess.Popen[bytes]"
) -> None:
    """Wait for the last frame."""
    deadline = time.monotonic() + PATIENCE_S
    while len(measured(database)) < n_frames:
        if time.monotonic() > deadline or watch.poll() is not None:
            raise SystemExit(f"only {len(measured(database))} of {n_frames} frames were measured")
        time.sleep(0.5)


def report(back_end: str, database: Database, whole_at: dict[str, float]) -> None:
    """Print the latencies of the frames that came when there was a template, and of all."""
    committed = measured(database)
    query = select(Process.finished_us).where(Process.command == "adopt_references")
    with database.read() as connection:
        ready_at = int(connection.scalar(query) or 0) / 1e6
    everyone = {name: committed[name] - when for name, when in whole_at.items()}
    # What had piled up until then was worked off first.
    backlog = [name for name, when in whole_at.items() if when < ready_at]
    caught_up = max((committed[name] for name in backlog), default=ready_at)
    for label, chosen in (
        ("after the template", [n for n, when in whole_at.items() if when >= ready_at]),
        ("after the backlog", [n for n, when in whole_at.items() if when >= caught_up]),
    ):
        values = np.array([everyone[name] for name in chosen])
        if not len(values):
            print(f"{back_end:8}  {label}: no frame")
            continue
        middle, late = np.quantile(values, [0.5, 0.95])
        print(
            f"{back_end:8}  {label}: {len(values)} frames, median {middle:.2f} s, 95th percentile "
            f"{late:.2f} s, longest {values.max():.2f} s"
        )
    first = min(whole_at.values())
    print(
        f"{back_end:8}  template ready {ready_at - first:.1f} s after the first frame, backlog of "
        f"{len(backlog)} worked off {caught_up - ready_at:.1f} s later; load "
        f"{json.dumps([round(x, 1) for x in os.getloadavg()])} on {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    numbers = [int(a) for a in sys.argv[1:] if a.isdigit()]
    main(*(numbers[:1] or [60]), *[a for a in sys.argv[1:] if not a.isdigit()][:1])
