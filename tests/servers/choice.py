"""Where each server of the tests comes from: a URL, a binary or an image."""

import os
from dataclasses import dataclass
from enum import StrEnum

import pytest
from tests.servers.binaries import Binaries, find_binaries

DATABASE_VARIABLE = "TIANYU_TEST_DATABASE_URL"
BROKER_VARIABLE = "TIANYU_TEST_BROKER_URL"

KIND_VARIABLE = "TIANYU_TEST_SERVERS"
"""``binaries`` or ``docker`` where both are to be had; binaries first when it is not set."""

DATABASE_IMAGE_VARIABLE = "TIANYU_TEST_DATABASE_IMAGE"
BROKER_IMAGE_VARIABLE = "TIANYU_TEST_BROKER_IMAGE"

# `install_servers.sh` pulls the same ones.
DATABASE_IMAGE = "mysql:8.4"
BROKER_IMAGE = "rabbitmq:4-management"


class Origin(StrEnum):
    """How a server comes to be."""

    URL = "url"
    BINARY = "binary"
    IMAGE = "image"
    NONE = "none"


@dataclass(frozen=True)
class Choice:
    """What serves as one of the servers."""

    origin: Origin
    what: str

    def __str__(self) -> str:
        match self.origin:
            case Origin.URL:
                return f"as {self.what} says"
            case Origin.BINARY:
                return self.what
            case Origin.IMAGE:
                return f"{self.what} in Docker"
        return "none"


def choose_database() -> Choice:
    """Choose the database server."""
    found = _binaries()
    binary = str(found.mysqld) if found.has_database else ""
    image = os.environ.get(DATABASE_IMAGE_VARIABLE) or DATABASE_IMAGE
    return _choose(DATABASE_VARIABLE, binary, image)


def choose_broker() -> Choice:
    """Choose the broker."""
    found = _binaries()
    binary = str(found.rabbitmq_server) if found.has_broker else ""
    image = os.environ.get(BROKER_IMAGE_VARIABLE) or BROKER_IMAGE
    return _choose(BROKER_VARIABLE, binary, image)


def _choose(variable: str, binary: str, image: str) -> Choice:
    kind = os.environ.get(KIND_VARIABLE, "")
    if kind not in {"", "binaries", "docker"}:
        raise pytest.UsageError(f"{KIND_VARIABLE}={kind}: choose binaries or docker")
    if os.environ.get(variable):
        return Choice(Origin.URL, variable)
    if binary:
        return Choice(Origin.BINARY, binary)
    if kind != "binaries" and _engine_answers():
        return Choice(Origin.IMAGE, image)
    return Choice(Origin.NONE, "")


def _binaries() -> Binaries:
    if os.environ.get(KIND_VARIABLE) == "docker":
        return Binaries(None, None, None, None)
    return find_binaries()


def _engine_answers() -> bool:
    # Only those who lack the binaries wait for the library.
    from tests.servers.engine import connect_engine

    engine = connect_engine()
    if engine is not None:
        engine.close()
    return engine is not None
