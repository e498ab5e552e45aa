"""Where steps come from: this package, a variable, and packages of others."""

import importlib
import importlib.metadata
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tianyu.pipelines import step
from tianyu.pipelines.errors import InvalidParametersError
from tianyu.schema.errors import ConfigurationError

STEP = '''
from tianyu.pipelines.products import Products
from tianyu.pipelines.step import StepParameters, step

@step({name!r}, parameters=StepParameters, reads=(), writes=())
def run(parameters, context):
    """Do something {name}."""
    return Products()
'''

NewModule = Callable[..., None]


@pytest.fixture
def new_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewModule]:
    """Write a module with a step; afterwards nobody knows it any more."""
    step.all_steps()
    known, modules = dict(step._REGISTRY), set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delenv(step.MODULES_VARIABLE, raising=False)

    def write(module: str, name: str) -> None:
        (tmp_path / f"{module}.py").write_text(STEP.format(name=name))
        forget()

    forget()
    yield write
    step._REGISTRY.clear()
    step._REGISTRY.update(known)
    for module in set(sys.modules) - modules:
        del sys.modules[module]
    forget()


def forget() -> None:
    step._import_steps.cache_clear()
    step._import_foreign_steps.cache_clear()
    importlib.invalidate_caches()


def test_every_module_of_this_package_holds_the_step_of_its_name() -> None:
    package = importlib.import_module(step.BUILT_IN)
    names = {module.name for module in pkgutil.iter_modules(package.__path__)}
    here = {s.name: s.run.__module__ for s in step.all_steps().values()}
    ours = {name: f"{step.BUILT_IN}.{name}" for name in names}
    assert {name: module for name, module in here.items() if module in ours.values()} == ours


def test_modules_named_in_the_variable_are_imported(
    new_module: NewModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_module("my_transits", "find_transits")
    new_module("my_flares", "find_flares")
    monkeypatch.setenv(step.MODULES_VARIABLE, " my_transits, my_flares,")
    assert step.find_step("find_flares").summary == "Do something find_flares."
    assert {"find_transits", "find_flares", "master_bias"} <= step.all_steps().keys()


def test_entry_points_are_imported(new_module: NewModule, monkeypatch: pytest.MonkeyPatch) -> None:
    new_module("their_steps", "find_comets")
    point = importlib.metadata.EntryPoint("comets", "their_steps", step.ENTRY_POINT_GROUP)

    def points(*, group: str) -> list[importlib.metadata.EntryPoint]:
        return [point] if group == "tianyu.steps" else []

    monkeypatch.setattr(importlib.metadata, "entry_points", points)
    assert step.find_step("find_comets").name == "find_comets"
    assert "find_comets" in step.all_steps()


def test_a_module_that_is_not_there_is_named_with_who_named_it(
    new_module: NewModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(step.MODULES_VARIABLE, "no_such_module")
    text = "'no_such_module' with steps, named in the variable TIANYU_STEP_MODULES, cannot be"
    with pytest.raises(ConfigurationError, match=text):
        step.all_steps()
    with pytest.raises(ConfigurationError, match=text):
        step.find_step("find_what")
    # What does not need it works.
    assert step.find_step("master_bias").name == "master_bias"


def test_a_name_that_is_taken_is_an_error_at_import(
    new_module: NewModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_module("another_bias", "master_bias")
    monkeypatch.setenv(step.MODULES_VARIABLE, "another_bias")
    with pytest.raises(ValueError, match="two steps are called 'master_bias'"):
        step.all_steps()


def test_an_unknown_step_is_answered_with_the_known_ones(new_module: NewModule) -> None:
    with pytest.raises(InvalidParametersError, match="no step 'unheard'; known steps: adopt_m"):
        step.find_step("unheard")


def test_finding_one_step_does_not_load_the_science_of_the_others() -> None:
    code = (
        "import sys; from tianyu.pipelines.step import find_step; find_step('select_frames'); "
        "sys.exit('tianyu.pipelines.steps.extract_flux' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
