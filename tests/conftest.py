"""Profiles of Hypothesis; choose one with ``TIANYU_HYPOTHESIS_PROFILE``.

``default``
    On every developer's machine: new examples each time.
``ci``
    The same examples each time, so that a change is judged by what it changed. Chosen by
    itself where the variable ``CI`` is set.
``storm``
    Many more and longer examples, for `make storm`.
"""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tianyu.pipelines import kernels

# Tests that call kernels by themselves must not meet what was compiled before a change.
os.environ.setdefault(
    kernels.CACHE_VARIABLE,
    str(kernels.cache_folder(os.environ.get("TIANYU_KERNEL_CACHE", "")) / kernels.version()),
)

# Servers that tests start: MariaDB and RabbitMQ.
pytest_plugins = ["tests.servers.fixtures"]

# Deadlines measure the machine, not the code.
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile(
    "storm",
    deadline=None,
    max_examples=1000,
    stateful_step_count=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(
    os.environ.get("TIANYU_HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default")
)

WITHOUT_FRAMES = frozenset({"broker", "consumer", "engine", "fire", "servers", "sites"})
"""Folders of ``tests/integration`` that need no compiled kernel."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests that need no kernel in the middle, where the second of two jobs begins.

    Two jobs that both began with frames would compile the same kernels at the same time, a minute
    of each; the second one finds them compiled by now.
    """
    late = [item for item in items if _does_without_frames(item.path)]
    rest = [item for item in items if not _does_without_frames(item.path)]
    half = min(len(items) // 2, len(rest))
    items[:] = rest[:half] + late + rest[half:]


def _does_without_frames(path: Path) -> bool:
    return path.parent.parent.name == "integration" and path.parent.name in WITHOUT_FRAMES
