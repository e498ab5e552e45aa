"""Fixtures of the tests in which everything breaks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from tests.storm.installation import Site

IS_STORM = settings.get_current_profile_name() == "storm"


@pytest.fixture
def site(database_url: str, broker_url: str, tmp_path: Path) -> Iterator[Site]:
    """A site on real servers, on which nothing runs yet."""
    site = Site(database_url, broker_url, tmp_path, lease_s=1.5)
    try:
        yield site
    finally:
        site.close()
