"""A burst of work and the consumers that follow it: ``python -m tests.scaling``.

Five hundred short processes, and a few long ones at their end that are still running when the
number of consumers falls, on MariaDB and RabbitMQ with plain processes as consumers. The exit
status is 0 only where the number of consumers went up and came back, every process succeeded at
its first attempt, and no consumer was killed.
"""

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select
from tests.integration.served.installation import PROGRAM
from tests.servers.binaries import find_binaries
from tests.servers.mariadb import DatabaseProcess
from tests.servers.rabbitmq import BrokerProcess
from tests.storm.installation import ROOT, SITE, STEPS
from tests.storm.installation import Site as StormSite

from tianyu.schema.states import Outcome
from tianyu.schema.tables import Attempt, Worker

DECISION = re.compile(r"(\d+) -> (\d+) consumers")
PATIENCE_S = 600.0
LONG = 3
LONG_S = 25.0


def main() -> int:
    """Run the burst on servers of its own; return the exit status."""
    # Ended by `timeout`, say, it clears away all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each short process")
    parser.add_argument("--max", type=int, default=4, help="most consumers")
    options = parser.parse_args()
    binaries = find_binaries()
    if not (binaries.has_database and binaries.has_broker):
        print("SKIPPED: scaling needs the servers; run tests/install_servers.sh")
        return 0
    database, broker = DatabaseProcess(binaries), BrokerProcess(binaries)
    try:
        database.start()
        broker.start()
        with (
            tempfile.TemporaryDirectory(prefix="tianyu-scaling-") as folder,
            database.fresh_database() as url,
        ):
            site = StormSite(url, broker.fresh_vhost(), Path(folder), lease_s=60.0)
            return 0 if _burst(site, options) else 1
    finally:
        broker.remove()
        database.remove()


def _burst(site: StormSite, options: argparse.Namespace) -> bool:
    log = site.folder / "scale.log"
    scale = [
        "scale", "--backend", "processes", "--min", "1", "--max", str(options.max),
        "--load", "20", "--rise", "2", "--calm", "8",
    ]  # fmt: skip
    programs = [_start(site, ["manager"], site.folder / "manager.log"), _start(site, scale, log)]
    try:
        _wait(lambda: _alive(site) == 1, "the first consumer")
        n_short = options.processes - LONG
        slow = {i: {"seconds": LONG_S} for i in range(n_short, options.processes)}
        short = {i: {"seconds": options.seconds} for i in range(n_short)}
        begun = time.monotonic()
        site.publish([[] for _ in range(options.processes)], {**short, **slow})
        _wait(site.is_done, "the end of the burst")
        took_s = time.monotonic() - begun
        _wait(lambda: _numbers(log)[-1:] == [1] and _alive(site) == 1, "one consumer")
    finally:
        for program in reversed(programs):
            program.send_signal(signal.SIGTERM)
        codes = [program.wait(PATIENCE_S) for program in reversed(programs)]
    print("".join(line for line in log.read_text().splitlines(True) if "consumers for" in line))
    with site.database.read() as connection:
        outcomes = Counter(connection.scalars(select(Attempt.outcome)))
        stopped = connection.scalars(select(Worker.stopped_us)).all()
    numbers = _numbers(log)
    print(
        f"{options.processes} processes in {took_s:.0f} s; consumers "
        f"{' -> '.join(map(str, numbers))}; attempts {dict(outcomes)}; "
        f"{len(stopped)} consumers started, {sum(s is not None for s in stopped)} left in an "
        f"orderly way; exit codes {codes}"
    )
    went = max(numbers) > 1 and numbers[0] == numbers[-1] == 1
    whole = outcomes == {Outcome.SUCCEEDED.value: options.processes}
    return went and whole and all(stopped) and codes == [0, 0]


def _start(site: StormSite, arguments: list[str], log: Path) -> "subprocess.Popen[bytes]":
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("TIANYU_")}
    variables = {
        "TIANYU_DATABASE_URL": site.database_url,
        "TIANYU_BROKER_URL": site.broker_url,
        "TIANYU_SITE": SITE,
        "TIANYU_STEP_MODULES": STEPS,
        "PYTHONPATH": str(ROOT),
    }
    with log.open("wb") as stream:
        return subprocess.Popen(
            [str(PROGRAM), *arguments],
            env=inherited | variables,
            cwd=site.folder,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _numbers(log: Path) -> list[int]:
    """Return the numbers of consumers that were decided on."""
    return [int(match[2]) for match in DECISION.finditer(log.read_text())]


def _alive(site: StormSite) -> int:
    with site.database.read() as connection:
        return len(connection.scalars(select(Worker.id).where(Worker.stopped_us.is_(None))).all())


def _wait(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what} never came")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
