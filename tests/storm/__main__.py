"""Storms over a whole site: ``python -m tests.storm [--processes N] [--seed S ...]``.

Thousands of processes in random layered graphs on MariaDB and RabbitMQ, two managers and four
consumers; each of them dies again and again, and the servers too. The exit status is 0 only
where everything was done once. The last lines hold the figures, one for each seed.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.servers.binaries import Binaries, find_binaries
from tests.servers.mariadb import DatabaseProcess
from tests.servers.rabbitmq import BrokerProcess
from tests.storm.storm import Plan, Result, sail


def main() -> int:
    """Run one storm for each seed; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=5000)
    anything = [random.SystemRandom().randrange(10_000)]
    parser.add_argument("--seed", type=int, nargs="+", default=anything)
    parser.add_argument("--every", type=float, default=3.0, help="mean seconds between two kills")
    parser.add_argument("--server-every", type=float, default=45.0, help="… of the servers")
    parser.add_argument("--freeze-every", type=float, default=7.0, help="… between two freezes")
    parser.add_argument("--longest-step", type=float, default=0.1, help="seconds")
    parser.add_argument("--patience", type=float, default=3600.0, help="give up after, seconds")
    options = parser.parse_args()
    plans = [
        Plan(
            processes=options.processes,
            seed=seed,
            program_s=options.every,
            server_s=options.server_every,
            freeze_s=options.freeze_every,
            patience_s=options.patience,
            longest_step_s=options.longest_step,
        )
        for seed in options.seed
    ]
    binaries = find_binaries()
    if not (binaries.has_database and binaries.has_broker):
        print("a storm needs the servers; run tests/install_servers.sh")
        return 2
    results = [_storm(plan, binaries) for plan in plans]
    for result in results:
        print(result)
    return 0 if all(result.is_good for result in results) else 1


def _storm(plan: Plan, binaries: Binaries) -> Result:
    """Run one storm on servers of its own; print what was found wrong."""
    database, broker = DatabaseProcess(binaries), BrokerProcess(binaries)
    try:
        database.start()
        broker.start()
        with (
            tempfile.TemporaryDirectory(prefix="tianyu-storm-") as folder,
            database.fresh_database() as url,
        ):
            result = sail(plan, url, broker.fresh_vhost(), Path(folder), [database, broker])
    finally:
        broker.remove()
        database.remove()
    for finding in result.census.findings[:50]:
        print(finding)
    return result


if __name__ == "__main__":
    sys.exit(main())
