"""Fixtures of the consumer's tests: real children, a database in a file, steps of our own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.consumer.yard import Yard

from tianyu.pipelines import step

collect_ignore = ["teststeps.py", "run_consumer.py"]

ROOT = Path(__file__).resolve().parents[3]
STEPS = "tests.integration.consumer.teststeps"


@pytest.fixture(scope="package", autouse=True)
def _steps_of_the_tests() -> Iterator[None]:
    """Register the steps of the tests, here and in children; forget them afterwards."""
    known = dict(step._REGISTRY)
    with pytest.MonkeyPatch.context() as patch:
        # Children get our search path, and so find the module by this name.
        patch.syspath_prepend(str(ROOT))
        patch.setenv(step.MODULES_VARIABLE, STEPS)
        _forget()
        yield
        step._REGISTRY.clear()
        step._REGISTRY.update(known)
        sys.modules.pop(STEPS, None)
    _forget()


def _forget() -> None:
    step._import_steps.cache_clear()
    step._import_foreign_steps.cache_clear()


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    """A site with a database, on which nothing happens by itself."""
    with Yard.at(tmp_path) as yard:
        yield yard
