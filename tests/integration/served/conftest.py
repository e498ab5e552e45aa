"""Fixtures of the tests on a real database server and a real broker."""

from collections.abc import Iterator

import pytest
from tests.integration.engine.backends import clear, prepared
from tests.integration.engine.world import World

from tianyu.schema.database import Database


@pytest.fixture(scope="session")
def server_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with prepared("mysql", request) as database:
        yield database


@pytest.fixture
def database(server_database: Database) -> Database:
    """A database on a server, with all tables and no rows."""
    clear(server_database)
    return server_database


@pytest.fixture
def world(database: Database) -> World:
    return World(database)
