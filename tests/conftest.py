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
