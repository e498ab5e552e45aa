"""Each role does its work with the account of ``deploy/grants`` and can do nothing else."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pymysql
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from tests.integration.consumer.yard import beside, until
from tests.servers.mariadb import DatabaseServer, ExternalDatabaseServer, execute
from tests.unit.cli_fixtures import invoke

from tianyu.broker.rabbitmq import RabbitBroker
from tianyu.consumer.consumer import Consumer, ConsumerConfig
from tianyu.manager.manager import Manager, ManagerConfig
from tianyu.pipelines.simulation import NightPlan, simulate_night
from tianyu.schema.database import Database
from tianyu.schema.states import TERMINAL, State
from tianyu.schema.tables import Process, RelativeFlux

GRANTS = Path(__file__).resolve().parents[3] / "deploy" / "grants"
ROLES = ("publisher", "manager", "consumer", "reader")
PASSWORD = "of-the-tests"  # noqa: S105 - of a server that lives as long as the tests
SITE = "local"
DENIED = {1044, 1142, 1143}
"""Errors of the server: no access to a database, a table, a column."""

pytestmark = pytest.mark.slow


@dataclass
class Offices:
    """A survey with an account for each role."""

    owner: str
    broker_url: str
    databases: dict[str, Database] = field(default_factory=dict)

    def url(self, role: str) -> str:
        account = make_url(self.owner).set(username=f"tianyu_{role}", password=PASSWORD)
        return account.render_as_string(hide_password=False)

    def database(self, role: str) -> Database:
        if role not in self.databases:
            self.databases[role] = Database(self.url(role))
        return self.databases[role]

    def may(self, role: str, statement: str) -> bool:
        """Tell whether the server lets a role do something, which is then undone."""
        with self.database(role).engine.connect() as connection:
            try:
                connection.execute(text(statement))
            except DBAPIError as error:
                if error.orig is None or error.orig.args[0] not in DENIED:
                    raise
                return False
            finally:
                connection.rollback()
        return True


def statements(role: str, database: str) -> list[str]:
    """Return the statements of a file, for another database and a password of ours."""
    lines = (GRANTS / f"{role}.sql").read_text().replace("`tianyu`", f"`{database}`")
    code = "\n".join(line for line in lines.splitlines() if not line.startswith("--"))
    return [part.strip() for part in code.replace("CHANGE-ME", PASSWORD).split(";") if part.strip()]


@pytest.fixture(scope="module")
def offices(
    database_server: DatabaseServer | ExternalDatabaseServer,
    broker_server: object,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Offices]:
    """A night that each role had its part in, and nobody more than that."""
    folder = tmp_path_factory.mktemp("offices")
    database_server.make_healthy()
    broker_url = broker_server.fresh_vhost()  # type: ignore[attr-defined]
    with database_server.fresh_database() as owner, ExitStack() as stack:
        offices = Offices(owner, broker_url)
        invoke(owner, "init", "--root", str(folder / "root"))
        for role in ROLES:
            for statement in statements(role, make_url(owner).database or ""):
                execute(owner, statement)
            stack.callback(execute, owner, f"DROP USER 'tianyu_{role}'@'%'")
        simulate_night(NightPlan.small(), folder / "night")
        env = {"TIANYU_BROKER_URL": broker_url}
        invoke(offices.url("publisher"), "register", str(folder / "night"), **env)
        work_off(offices)
        yield offices
        for database in offices.databases.values():
            database.dispose()


def work_off(offices: Offices) -> None:
    brokers = [RabbitBroker(offices.broker_url) for _ in range(2)]
    manager = Manager(offices.database("manager"), brokers[0], ManagerConfig(poll_s=0.1))
    consumer = Consumer(
        offices.database("consumer"), brokers[1], ConsumerConfig(SITE, processes=2, poll_s=0.1)
    )
    unfinished = select(func.count()).where(
        Process.state.not_in([s.value for s in TERMINAL | {State.BLOCKED}])
    )

    def is_done() -> bool:
        with offices.database("reader").read() as connection:
            return not connection.scalar(unfinished)

    with beside(manager.run, manager.stop), beside(consumer.run, consumer.drain):
        until(is_done, patience_s=150.0)
    for broker in brokers:
        broker.close()


def test_the_work_is_done(offices: Offices) -> None:
    with offices.database("reader").read() as connection:
        failed = connection.execute(
            select(Process.command, Process.error_text).where(Process.state != "succeeded")
        ).all()
        assert failed == []
        assert connection.scalar(select(func.count()).select_from(RelativeFlux)) > 1000
        assert connection.execute(text("SELECT COUNT(*) FROM light_curve")).scalar() > 1000


def test_the_reader_has_every_answer(offices: Offices) -> None:
    for question in ("status", "run list", "frames", "sources", "lightcurve --source 1"):
        assert invoke(offices.url("reader"), *question.split())


def test_the_publisher_cancels_and_rescues(offices: Offices) -> None:
    url = offices.url("publisher")
    assert "cancelled" in invoke(url, "run", "cancel", "1")
    assert "rescued" in invoke(url, "run", "rescue", "1")


PUBLISH = "INSERT INTO dependency (parent, child) VALUES (1, 2)"
START = "UPDATE process SET priority = 5"
LOG = "INSERT INTO attempt (process_id, number, outcome, finished_us) VALUES (1, 77, 'x', 1)"
LOOK = "SELECT * FROM flux LIMIT 1"
MEASURE = (
    "INSERT INTO flux (run_id, source_id, image_id, aperture, radius_pix, flags) "
    "VALUES (99, 1, 1, 1, 3.0, 0)"
)
POINT = "UPDATE observation SET current_run_id = 1"
RENAME = "UPDATE observation SET name = name"
FORGET = "DELETE FROM relative_flux"
FORGE = "DELETE FROM attempt"
DROP = "DROP TABLE cross_match"
MAKE = "CREATE TABLE invoices (id INT)"
READ_FILE = "SELECT * FROM mysql.user"

ALLOWED = {
    "publisher": {PUBLISH, START, LOOK, POINT, RENAME},
    "manager": {START, LOG},
    "consumer": {START, LOG, LOOK, MEASURE, POINT},
    "reader": {LOOK},
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "statement",
    [PUBLISH, START, LOG, LOOK, MEASURE, POINT, RENAME, FORGET, FORGE, DROP, MAKE, READ_FILE],
)
def test_what_a_role_may_not_do_the_server_refuses(
    offices: Offices, role: str, statement: str
) -> None:
    assert offices.may(role, statement) == (statement in ALLOWED[role])


def test_a_wrong_password_opens_nothing(offices: Offices) -> None:
    url = make_url(offices.url("reader")).set(password="guessed")  # noqa: S106 - wrong on purpose
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        execute(url.render_as_string(hide_password=False), "SELECT 1")
