"""A storm over a whole site: ``python -m tests.storm [--processes N] [--seed S] [--seconds T]``.

Thousands of processes in random layered graphs on MariaDB and RabbitMQ, two managers and four
consumers; each of them dies again and again, and the servers too. The exit status is 0 only
where everything was done once. The last line holds the figures.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.servers.binaries import find_binaries
from tests.servers.mariadb import DatabaseProcess
from tests.servers.rabbitmq import BrokerProcess
from tests.storm.storm import Plan, sail


def main() -> int:
    """Run one storm; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--every", type=float, default=3.0, help="mean seconds between two kills")
    parser.add_argument("--server-every", type=float, default=45.0, help="… of the servers")
    parser.add_argument("--freeze-every", type=float, default=7.0, help="… between two freezes")
    parser.add_argument("--patience", type=float, default=3600.0, help="give up after, seconds")
    options = parser.parse_args()
    plan = Plan(
        processes=options.processes,
        seed=options.seed,
        program_s=options.every,
        server_s=options.server_every,
        freeze_s=options.freeze_every,
        patience_s=options.patience,
    )
    binaries = find_binaries()
    if not (binaries.has_database and binaries.has_broker):
        print("a storm needs the servers; run tests/install_servers.sh")
        return 2
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
    print(result)
    return 0 if result.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
