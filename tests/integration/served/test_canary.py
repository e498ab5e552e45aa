"""Services that work with secret passwords: none is in a log, an answer, a metric or a row."""

import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url
from tests.integration.served.installation import PROGRAM, Installation
from tests.servers.mariadb import DatabaseServer, execute
from tests.servers.ports import free_ports
from tests.servers.rabbitmq import BrokerServer

from tianyu.schema.database import Database
from tianyu.schema.directory import ensure_queue, find_site
from tianyu.schema.transitions.publish import ProcessSpec, RunSpec, insert_graph, insert_run

CANARY = "c4nary-in-a-mine"

pytestmark = [pytest.mark.storm, pytest.mark.timeout(280)]


@pytest.fixture
def installation(
    breakable_database_server: DatabaseServer,
    breakable_broker_server: BrokerServer,
    tmp_path: Path,
) -> Iterator[Installation]:
    """Both servers know an account whose password must never be seen."""
    broker = breakable_broker_server
    vhost = broker.fresh_vhost().rpartition("/")[2]
    broker.control("add_user", "canary", CANARY)
    broker.control("set_permissions", "-p", vhost, "canary", ".*", ".*", ".*")
    with breakable_database_server.fresh_database() as owner:
        name = make_url(owner).database
        execute(owner, f"CREATE USER 'canary'@'%' IDENTIFIED BY '{CANARY}'")
        execute(owner, f"GRANT ALL ON {name}.* TO 'canary'@'%'")
        url = make_url(owner).set(username="canary", password=CANARY)
        installation = Installation(
            url.render_as_string(hide_password=False),
            broker.url.replace("guest:guest", f"canary:{CANARY}").removesuffix("%2F") + vhost,
            tmp_path,
        )
        try:
            installation.run("init", "--root", str(installation.root))
            yield installation
        finally:
            installation.close()
            breakable_database_server.make_healthy()
            execute(owner, "DROP USER 'canary'@'%'")
            broker.control("delete_user", "canary")


def publish_what_fails(database: Database) -> None:
    """Publish a process that no consumer can run."""
    with database.write() as connection:
        queue = ensure_queue(connection, find_site(connection, "here")[0], "cpu")
        spec = RunSpec("r", "test", 1, {}, "1", [ProcessSpec(1, "no_such_step", {}, queue)])
        insert_graph(connection, insert_run(connection, spec), spec.processes)


def test_no_password_is_told_to_anybody(
    installation: Installation, breakable_database_server: DatabaseServer
) -> None:
    publish_what_fails(installation.database)
    ports = free_ports(2)
    for port, service in zip(ports, ("manager", "consumer"), strict=True):
        installation.variables["TIANYU_METRICS_PORT"] = str(port)
        installation.start("--debug", "--log-level", "DEBUG", service)
    installation.wait_until(installation.is_done, "the failure")
    breakable_database_server.kill()
    installation.wait_until(lambda: "database is away" in installation.logs(), "a warning")
    breakable_database_server.start()

    said = installation.logs() + rows(installation.database)
    for command in ("status", "config", "run list", "dead-letters", "health", "site list"):
        done = subprocess.run(
            [str(PROGRAM), *command.split()], env=installation.environment(),
            cwd=installation.folder, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        said += done.stdout + done.stderr
    for port in ports:
        for path in ("metrics", "livez"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=20) as answer:
                said += answer.read().decode()
    for service in installation.services:
        service.stop()
        said += service.log.read_text()
    assert "no_such_step" in said
    assert "tianyu_manager_rounds_total" in said
    assert CANARY not in said


def rows(database: Database) -> str:
    """Return every value of every table."""
    with database.read() as connection:
        names = inspect(connection).get_table_names()
        queries = [text(f"SELECT * FROM `{name}`") for name in names]  # noqa: S608 - our tables
        return str([connection.execute(query).all() for query in queries])
