"""Servers that die, freeze, forget everything, or are short of memory and disk."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.fire.conftest import IS_STORM
from tests.integration.fire.drill import Drill
from tests.servers.binaries import find_binaries, give_up
from tests.servers.mariadb import DatabaseProcess, DatabaseServer
from tests.servers.process import ServerProcess
from tests.servers.rabbitmq import BrokerProcess, BrokerServer
from tests.storm.installation import Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0 if IS_STORM else 280)]

in_a_storm = pytest.mark.skipif(not IS_STORM, reason="takes long: make storm")

FULL = 200 << 20
TINY = "1m"


@contextlib.contextmanager
def killed(server: ServerProcess) -> Iterator[None]:
    server.kill()
    yield
    server.start()


@contextlib.contextmanager
def paused(server: ServerProcess) -> Iterator[None]:
    server.pause()
    yield
    server.resume()


@contextlib.contextmanager
def wiped(server: BrokerProcess) -> Iterator[None]:
    server.kill()
    shutil.rmtree(server.folder / "data")
    yield
    server.start()


@contextlib.contextmanager
def short_of_memory(server: BrokerServer) -> Iterator[None]:
    server.set_alarm(on=True)
    yield
    server.set_alarm(on=False)


@contextlib.contextmanager
def short_of_disk(server: BrokerServer) -> Iterator[None]:
    server.control("set_disk_free_limit", "100000GB")
    yield
    server.control("set_disk_free_limit", "1MB")


@pytest.fixture
def drill(site: Site) -> Drill:
    """A manager and a consumer at work, straight on the servers."""
    site.start("manager")
    site.start("consumer")
    return Drill(site)


def test_work_goes_on_after_the_database_died_or_stood_still(
    breakable_database_server: DatabaseServer, drill: Drill
) -> None:
    server = breakable_database_server
    drill.run("database SIGKILL", lambda: killed(server), 1.0)
    # All leases run out meanwhile, and no worker is to blame.
    lasting_s = 2.0 * drill.site.lease_s
    drill.run("database SIGSTOP, 2 leases", lambda: paused(server), lasting_s)


@in_a_storm
def test_work_goes_on_after_the_broker_died(
    breakable_broker_server: BrokerServer, drill: Drill
) -> None:
    drill.run("broker SIGKILL", lambda: killed(breakable_broker_server), 0.0)
    drill.run(
        "broker dead, consumers idle", lambda: killed(breakable_broker_server), 0.0, idle=True
    )


@in_a_storm
def test_work_goes_on_while_the_broker_is_short_of_everything(
    breakable_broker_server: BrokerServer, drill: Drill
) -> None:
    drill.run("memory alarm", lambda: short_of_memory(breakable_broker_server), 3.0)
    drill.run("disk alarm", lambda: short_of_disk(breakable_broker_server), 3.0)
    idle = {"idle": True}
    drill.run("memory alarm, idle", lambda: short_of_memory(breakable_broker_server), 3.0, **idle)
    drill.run("broker SIGSTOP", lambda: paused(breakable_broker_server), 5.0)


@in_a_storm
def test_work_goes_on_after_the_broker_forgot_everything(database_url: str, tmp_path: Path) -> None:
    # A server of this test's own: the vhosts of the others would be gone.
    server = BrokerProcess(find_binaries())
    site = None
    try:
        server.start()
        site = Site(database_url, server.url, tmp_path, lease_s=1.5)
        site.start("manager")
        site.start("consumer")
        Drill(site).run("broker wiped", lambda: wiped(server), 0.0)
        Drill(site, 1).run("broker wiped, consumers idle", lambda: wiped(server), 0.0, idle=True)
    finally:
        if site is not None:
            site.close()
        server.remove()


# -- full disks --------------------------------------------------------------------------------


@contextlib.contextmanager
def tiny_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system of a few megabytes."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may mount a tiny file system to be filled")
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=777", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a tiny file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@contextlib.contextmanager
def full(folder: Path) -> Iterator[None]:
    """Fill a file system to the last byte; make room again in the end."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    assert shutil.disk_usage(folder).free < 4096
    yield
    ballast.unlink()


def test_a_full_disk_under_the_files_pauses_the_work_and_costs_no_failure(
    database_url: str, broker_url: str, tmp_path: Path
) -> None:
    site = Site(database_url, broker_url, tmp_path, lease_s=1.5)
    with tiny_disk(site.root, TINY):
        try:
            site.start("manager")
            site.start("consumer")
            Drill(site).run("files: disk full", lambda: full(site.root), 2.0)
            assert set(Drill(site)._endings()) == {"succeeded", "released"}
        finally:
            site.close()


@in_a_storm
def test_a_full_disk_under_the_database_is_waited_for(broker_url: str, tmp_path: Path) -> None:
    binaries = find_binaries()
    if not binaries.has_database:
        give_up("MariaDB or MySQL")
    server = DatabaseProcess(binaries)
    data = server.folder / "data"
    with tiny_disk(server.folder / "disk", f"{FULL}") as disk:
        subprocess.run(["cp", "-a", str(data), str(disk)], check=True)
        shutil.rmtree(data)
        data.symlink_to(disk / "data")
        site = None
        try:
            server.start()
            with server.fresh_database() as url:
                site = Site(url, broker_url, tmp_path, lease_s=1.5)
                site.start("manager")
                site.start("consumer")
                Drill(site).run("database: disk full", lambda: crammed(site, disk), 4.0)
                site.close()
        finally:
            if site is not None:
                site.close()
            server.remove()


@contextlib.contextmanager
def crammed(site: Site, disk: Path) -> Iterator[None]:
    """Fill the disk, and then what room the database has left within its files."""
    with full(disk):
        refused = _until_refused(lambda: site.publish([[]], {0: {}}))
        print(f"the database refused: {refused}")
        yield


def _until_refused(act: Callable[[], object], patience_s: float = 20.0) -> str:
    from sqlalchemy.exc import DBAPIError

    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            act()
        except DBAPIError as error:
            return str(error.orig)
    return "nothing"
