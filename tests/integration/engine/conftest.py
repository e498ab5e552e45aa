"""Fixtures of the engine's conformance suite."""

from collections.abc import Iterator

import pytest
from tests.integration.engine.backends import BACKENDS, clear, forbidden_changes, prepared
from tests.integration.engine.world import World

from tianyu.schema.database import Database


@pytest.fixture(scope="session", params=sorted(BACKENDS))
def _engine_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with prepared(request.param, request) as database:
        yield database


@pytest.fixture
def database(_engine_database: Database) -> Iterator[Database]:
    """An empty database; afterwards no state may have changed in a way that is not allowed."""
    clear(_engine_database)
    yield _engine_database
    assert forbidden_changes(_engine_database) == set()


@pytest.fixture
def world(database: Database) -> World:
    return World(database)
