"""MariaDB or MySQL: what all of its servers share, and the one started from its binary."""

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pymysql
from pymysql.connections import Connection
from sqlalchemy.engine import URL, make_url
from tests.servers.binaries import Binaries
from tests.servers.ports import free_ports
from tests.servers.process import ServerProcess
from tests.servers.server import Server

ACCOUNT = "tianyu"
PASSWORD = "tianyu"  # noqa: S105 - of a server on the loopback that lives as long as the tests

FIRST_STATEMENTS = f"""\
CREATE USER IF NOT EXISTS '{ACCOUNT}'@'%' IDENTIFIED BY '{PASSWORD}';
GRANT ALL ON *.* TO '{ACCOUNT}'@'%' WITH GRANT OPTION;
"""
"""For any host: what a loopback address resolves to differs between machines."""


class DatabaseServer(Server):
    """A throw-away database server."""

    name = "database"
    account = ACCOUNT
    port: int

    @property
    def url(self) -> str:
        """URL without a database: see :meth:`fresh_database`."""
        return f"mysql+pymysql://{self.account}:{PASSWORD}@127.0.0.1:{self.port}/?charset=utf8mb4"

    def answers(self) -> bool:
        """Tell whether a client can log in."""
        try:
            connect(self.url).close()
        except pymysql.OperationalError:
            return False
        return True

    @contextlib.contextmanager
    def fresh_database(self) -> Iterator[str]:
        """Make an empty database, and drop it in the end; the value is its URL."""
        with fresh_database(self.url) as url:
            yield url


class DatabaseProcess(ServerProcess, DatabaseServer):
    """A database server started from its binary.

    The name of the binary does not tell which of the two it is: Debian links ``mysqld`` to
    ``mariadbd``. So its version is asked.

    Parameters
    ----------
    binaries : Binaries
    flush_at_commit : int
        ``innodb_flush_log_at_trx_commit``. 2 survives ``kill -9`` of the server, 0 does not.
    """

    def __init__(self, binaries: Binaries, flush_at_commit: int = 2) -> None:
        super().__init__()
        self._binaries = binaries
        self._flush_at_commit = flush_at_commit
        (self.port,) = free_ports(1)
        version = self.run([str(binaries.mysqld), "--no-defaults", "--version"])
        self._is_mariadb = "mariadb" in version.lower()
        self._statements = self.folder / "first.sql"
        self._statements.write_text(FIRST_STATEMENTS)
        self._install()

    def command(self) -> Sequence[str]:
        """Return the command of the server."""
        options = [
            "--no-defaults",
            f"--datadir={self.folder}/data",
            # In a folder that several share, one that starts removes what others are using.
            f"--tmpdir={self.folder}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self.folder}/s",
            f"--pid-file={self.folder}/pid",
            f"--init-file={self._statements}",
            f"--innodb-flush-log-at-trx-commit={self._flush_at_commit}",
            "--skip-log-bin",
            "--performance-schema=OFF",
            "--character-set-server=utf8mb4",
            "--local-infile=ON",
        ]
        if not self._is_mariadb:
            options += ["--mysqlx=OFF", "--secure-file-priv=NULL"]
        return [str(self._binaries.mysqld), *options]

    def _install(self) -> None:
        if self._is_mariadb:
            # Without --skip-test-db an anonymous user would shadow ours on localhost.
            self.run(
                [
                    str(self._binaries.mariadb_install_db),
                    "--no-defaults",
                    "--skip-test-db",
                    "--auth-root-authentication-method=normal",
                    f"--datadir={self.folder}/data",
                    f"--tmpdir={self.folder}",
                ]
            )
        else:
            self.run(
                [
                    str(self._binaries.mysqld),
                    "--no-defaults",
                    "--initialize-insecure",
                    f"--datadir={self.folder}/data",
                    f"--tmpdir={self.folder}",
                ]
            )


class ExternalDatabaseServer:
    """A server that is there already; it can be used but not broken.

    Parameters
    ----------
    url : str
        With an account that may create databases; the name of the database is ignored.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @contextlib.contextmanager
    def fresh_database(self) -> Iterator[str]:
        """Make an empty database, and drop it in the end; the value is its URL."""
        with fresh_database(self.url) as url:
            yield url

    def make_healthy(self) -> None:
        """Do nothing: it is not ours."""


@contextlib.contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """Make an empty database on a server, and drop it in the end."""
    name = f"tianyu_test_{uuid.uuid4().hex[:12]}"
    execute(server_url, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    try:
        yield make_url(server_url).set(database=name).render_as_string(hide_password=False)
    finally:
        # When a test has left the server dead the database goes with its folder.
        with contextlib.suppress(pymysql.OperationalError):
            execute(server_url, f"DROP DATABASE {name}")


def execute(server_url: str, statement: str) -> None:
    """Run one statement outside any database."""
    with contextlib.closing(connect(server_url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)


def connect(server_url: str) -> "Connection[Any]":
    """Connect to a server without choosing a database."""
    url: URL = make_url(server_url)
    return pymysql.connect(
        host=url.host or "127.0.0.1",
        port=url.port or 3306,
        user=url.username,
        password=url.password or "",
        # A paused server accepts connections and then says nothing.
        connect_timeout=5,
        read_timeout=30,
    )
