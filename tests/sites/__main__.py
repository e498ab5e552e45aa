"""A night shared by two sites: ``python -m tests.sites [--frames FOLDER] [--rate 1mbit]``.

An observatory and a data centre in network namespaces of their own: database, broker, manager and
one consumer at the centre, one consumer and the file service at the observatory, a narrow link
between them that is cut for a minute while a stack is on its way, and whose receiver is killed
meanwhile. The exit status is 0 only where everything succeeded, no byte of a file was fetched
twice, and the light curves are those of one machine to the last digit. It needs root, for the
namespaces.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tests.servers.binaries import find_binaries
from tests.sites.network import Network, NoNetworkError, two_sites
from tests.sites.night import Plan, SharedNight
from tests.sites.servers import ReachableBroker, ReachableDatabase

from tianyu.pipelines.simulation import NightPlan, simulate_night

INSIDE = "TIANYU_SITES_NETWORK"
"""Names the namespaces to the part of this program that runs in one of them."""


def main() -> int:
    """Make the network and run the night in it; return the exit status."""
    # Ended by `timeout`, say, it clears away all the same.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    options = _options()
    if INSIDE in os.environ:
        return _run(options, Network(*os.environ[INSIDE].split(",")))
    binaries = find_binaries()
    if not (binaries.has_database and binaries.has_broker):
        print("SKIPPED: two sites need the servers; run tests/install_servers.sh")
        return 0
    try:
        with two_sites(options.rate) as network:
            names = f"{network.centre},{network.observatory},{network.between}"
            command = [sys.executable, "-m", "tests.sites", *sys.argv[1:]]
            return subprocess.run(
                network.inside(network.centre, command),
                env={**os.environ, INSIDE: names},
                check=False,
            ).returncode
    except NoNetworkError as error:
        print(f"SKIPPED: no network namespaces here: {error}")
        return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=Path, help="a night; default: one is simulated")
    parser.add_argument("--lights", type=int, default=40, help="frames of the simulated night")
    parser.add_argument("--set", action="append", default=[], help="STEP.NAME=VALUE, as often")
    parser.add_argument("--chunk", type=int, default=4, help="frames per process")
    parser.add_argument("--rate", default="1mbit", help="of the link, as tc takes it")
    parser.add_argument("--cut", type=float, default=60.0, help="length of the cut, seconds")
    parser.add_argument("--patience", type=float, default=1800.0, help="give up after, seconds")
    return parser.parse_args()


def _run(options: argparse.Namespace, network: Network) -> int:
    """Run the night from within the centre's namespace."""
    binaries = find_binaries()
    database, broker = ReachableDatabase(binaries), ReachableBroker(binaries)
    try:
        database.start()
        broker.start()
        with (
            tempfile.TemporaryDirectory(prefix="tianyu-sites-") as name,
            database.fresh_database() as url,
        ):
            folder = Path(name)
            frames = options.frames or _simulated(folder / "frames", options.lights)
            chosen = tuple(word for option in options.set for word in ("--set", option))
            plan = Plan(frames.resolve(), options.chunk, chosen, options.cut, options.patience)
            night = SharedNight(plan, network, folder, url, broker.fresh_vhost())
            try:
                return 0 if night.run() else 1
            finally:
                night.close()
    finally:
        broker.remove()
        database.remove()


def _simulated(folder: Path, n_light: int) -> Path:
    folder.mkdir()
    simulate_night(replace(NightPlan(), n_light=n_light), folder)
    return folder


if __name__ == "__main__":
    sys.exit(main())
