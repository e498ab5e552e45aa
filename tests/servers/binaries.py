"""Where the servers' programs are, and what to tell people who lack them."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

INSTALL_COMMAND = "sudo apt-get install --no-install-recommends mariadb-server rabbitmq-server"

MISSING = "no servers"
"""Begins every skip for want of servers, so that they can be counted in the end."""

FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin", "/opt/homebrew/bin")
"""Looked into besides PATH, which often lacks the folders of servers."""


@dataclass(frozen=True)
class Binaries:
    """Programs of the servers; None where there is none."""

    mysqld: Path | None
    mariadb_install_db: Path | None
    rabbitmq_server: Path | None
    rabbitmqctl: Path | None

    @property
    def has_database(self) -> bool:
        """Whether a database server can be started."""
        return self.mysqld is not None

    @property
    def has_broker(self) -> bool:
        """Whether a broker can be started."""
        return self.rabbitmq_server is not None and self.rabbitmqctl is not None


def find_binaries() -> Binaries:
    """Look for the programs of the servers."""
    # Debian's commands of RabbitMQ in /usr/sbin insist on its own account and folders.
    unwrapped = ("/usr/lib/rabbitmq/bin",)
    return Binaries(
        mysqld=_find(["mariadbd", "mysqld"], FOLDERS),
        mariadb_install_db=_find(["mariadb-install-db", "mysql_install_db"], FOLDERS),
        rabbitmq_server=_find(["rabbitmq-server"], FOLDERS, unwrapped),
        rabbitmqctl=_find(["rabbitmqctl"], FOLDERS, unwrapped),
    )


def give_up(why: str) -> NoReturn:
    """Skip a test that needs a server; where ``CI=true`` that is a failure."""
    text = f"{MISSING}: {why}; enable these tests by: {INSTALL_COMMAND}"
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(text, pytrace=False)
    pytest.skip(text)


def not_ours(what: str) -> NoReturn:
    """Skip a test that would break a server which others may use."""
    pytest.skip(f"{what} was given by its URL, and this test stops it; unset the variable")


def _find(names: Sequence[str], folders: Sequence[str], first: Sequence[str] = ()) -> Path | None:
    search = os.pathsep.join([*first, os.environ.get("PATH", os.defpath), *folders])
    for name in names:
        found = shutil.which(name, path=search)
        if found is not None:
            return Path(found)
    return None
