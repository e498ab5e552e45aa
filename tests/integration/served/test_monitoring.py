"""Health and metrics of the services as operators see them, while servers come and go."""

import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.served.installation import PROGRAM, Installation
from tests.servers.mariadb import DatabaseServer
from tests.servers.ports import free_ports
from tests.servers.rabbitmq import BrokerServer

from tianyu.cli.health import ask

pytestmark = pytest.mark.storm
"""It mostly waits for services to notice, ten seconds a time; what they answer is tested beside."""


class Watched:
    """One service with a port for metrics."""

    def __init__(self, installation: Installation, *command: str) -> None:
        self.installation = installation
        (self.port,) = free_ports(1)
        installation.variables["TIANYU_METRICS_PORT"] = str(self.port)
        self.service = installation.start(*command)

    def health(self, *options: str) -> tuple[int, str]:
        """Return exit status and output of ``tianyu health``."""
        done = subprocess.run(
            [str(PROGRAM), "health", "--port", str(self.port), *options],
            env=self.installation.environment(), capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def until(self, is_well: bool, pattern: str = "", path: str = "healthz") -> str:
        """Wait for an answer."""
        seen = [""]

        def is_so() -> bool:
            complaints = ask(f"http://127.0.0.1:{self.port}/{path}")
            seen[0] = "\n".join(complaints)
            return (not complaints) == is_well and re.search(pattern, seen[0]) is not None

        self.installation.wait_until(is_so, f"{path}: {is_well} with {pattern!r}")
        return seen[0]

    def metric(self, line: str) -> float:
        """Return the value of a sample."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=20) as answer:
            text = answer.read().decode()
        (found,) = re.findall(rf"^{re.escape(line)} (.*)$", text, flags=re.MULTILINE)
        return float(found)


@pytest.fixture
def installation(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(database_url, broker_url, tmp_path)
    try:
        installation.run("init", "--root", str(installation.root))
        yield installation
    finally:
        installation.close()


def test_services_say_truly_how_they_are(
    installation: Installation,
    breakable_database_server: DatabaseServer,
    breakable_broker_server: BrokerServer,
) -> None:
    manager = Watched(installation, "manager")
    consumer = Watched(installation, "consumer")
    assert manager.until(True) == consumer.until(True) == ""
    assert consumer.health() == (0, "ok\n")
    consumer.until(True, path="readyz")

    breakable_database_server.kill()
    told = manager.until(False, "the database has let no round end well")
    assert "2003" in told or "2013" in told or "2006" in told
    consumer.until(False, "the database has not answered a heartbeat")
    assert consumer.health()[0] == 1
    assert manager.health("--live")[0] == 0
    breakable_database_server.start()
    manager.until(True)
    consumer.until(True)
    assert manager.metric("tianyu_manager_outages_total") >= 1
    assert manager.metric("tianyu_database_disconnects_total") >= 1

    breakable_broker_server.kill()
    consumer.until(False, "no connection to the broker at amqp://127.0.0.1")
    manager.until(False, "no connection to the broker")
    breakable_broker_server.start()
    consumer.until(True)
    manager.until(True)
    assert consumer.metric("tianyu_broker_reconnects_total") >= 1
    assert consumer.metric('tianyu_children{state="idle"}') == 1
    assert manager.metric('tianyu_workers{site="here"}') == 1

    assert [consumer.service.stop(), manager.service.stop()] == [0, 0]
    assert "no service answers at" in consumer.health()[1]
