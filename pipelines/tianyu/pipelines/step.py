"""What a step is, and the registry of all of them.

A step says what it reads and writes, so that a graph can be checked before anything runs;
its parameters are a typed model, validated when published and again when run; its function
takes the parameters and a context and returns its products, which the engine commits
together with its success.

Steps live in modules, and importing a module registers its steps. Three places are searched:

``tianyu.pipelines.steps``
    The steps of this package; each stands in the module that bears its name, so that a worker
    loads the one it was asked for and not the science of all others.
``TIANYU_STEP_MODULES``
    An environment variable with module names, separated by commas: for a step that is being
    tried out, or that belongs to one installation. The modules must be importable wherever
    the step is published or run, for instance by way of ``PYTHONPATH``.
entry points of the group ``tianyu.steps``
    For steps that come as a package of their own. Its ``pyproject.toml`` says::

        [project.entry-points."tianyu.steps"]
        transits = "my_survey.transit_steps"
"""

import importlib
import importlib.metadata
import os
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import InvalidParametersError
from tianyu.pipelines.products import Products
from tianyu.schema import pid
from tianyu.schema.errors import ConfigurationError

BUILT_IN = "tianyu.pipelines.steps"
MODULES_VARIABLE = "TIANYU_STEP_MODULES"
ENTRY_POINT_GROUP = "tianyu.steps"


def _read_pid(value: Any) -> int:
    # A double holds 53 bits: an id that went through JSON as a number may be another id.
    if not isinstance(value, str):
        raise ValueError(f"a process id is written as a string, got {value!r}")  # noqa: TRY004 - pydantic wants ValueError
    return pid.from_text(value)


ProcessId = Annotated[int, BeforeValidator(_read_pid), PlainSerializer(str, return_type=str)]
"""A process id in parameters: a string in JSON."""


class StepParameters(BaseModel):
    """Base of all parameter models: frozen, and an unknown name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


P = TypeVar("P", bound=StepParameters)


@dataclass(frozen=True)
class Step(Generic[P]):
    """One registered step."""

    name: str
    parameters: type[P]
    run: Callable[[P, StepContext], Products]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    group: str
    repeatable: bool
    time_limit_s: float
    summary: str


_REGISTRY: dict[str, Step[Any]] = {}


def step(
    name: str,
    *,
    parameters: type[P],
    reads: tuple[str, ...],
    writes: tuple[str, ...],
    group: str = "cpu",
    repeatable: bool = True,
    time_limit_s: float = 3600.0,
) -> Callable[[Callable[[P, StepContext], Products]], Callable[[P, StepContext], Products]]:
    """Register the decorated function as a step.

    Parameters
    ----------
    name : str
        The command, as it stands in ``process.command``.
    parameters : type
        Model of its parameters.
    reads, writes : tuple of str
        Kinds of data; every kind read must be written by an ancestor in a recipe.
    group : str
        Hardware group that runs it unless a recipe says otherwise.
    repeatable : bool
        False for what must not happen twice, such as an exposure.
    time_limit_s : float
        Time after which its child process is killed, seconds.

    Raises
    ------
    ValueError
        If the name is taken.
    """

    def register(function: Callable[[P, StepContext], Products]) -> Callable[..., Products]:
        if name in _REGISTRY:
            raise ValueError(f"two steps are called {name!r}; step names must be unique")
        summary = (function.__doc__ or "").strip().split("\n", 1)[0]
        _REGISTRY[name] = Step(
            name, parameters, function, reads, writes, group, repeatable, time_limit_s, summary
        )
        return function

    return register


def all_steps() -> Mapping[str, Step[Any]]:
    """Return every step by name; importing their modules registers them.

    Raises
    ------
    ConfigurationError
        If a module outside this package cannot be imported; the text says who named it.
    ValueError
        If two steps have one name.
    """
    _import_steps()
    return dict(sorted(_REGISTRY.items()))


def find_step(name: str) -> Step[Any]:
    """Return a step by name.

    Of this package only the step's own module is imported; the modules of others, all of them,
    for a name that is not found there.

    Raises
    ------
    InvalidParametersError
        If there is none of that name; the text lists the known ones.
    ConfigurationError
        If a module outside this package cannot be imported.
    """
    if name not in _REGISTRY and name in _built_in_modules():
        importlib.import_module(f"{BUILT_IN}.{name}")
    if name not in _REGISTRY:
        _import_foreign_steps()
    if name not in _REGISTRY:
        _import_steps()
        known = ", ".join(sorted(_REGISTRY))
        raise InvalidParametersError(f"there is no step {name!r}; known steps: {known}")
    return _REGISTRY[name]


@cache
def _import_steps() -> None:
    for module in sorted(_built_in_modules()):
        importlib.import_module(f"{BUILT_IN}.{module}")
    _import_foreign_steps()


@cache
def _import_foreign_steps() -> None:
    for name, origin in _foreign_modules():
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigurationError(
                f"the module {name!r} with steps, named in {origin}, cannot be imported: {error}; "
                "install it, correct the name, or take it out"
            ) from error


@cache
def _built_in_modules() -> frozenset[str]:
    package = importlib.import_module(BUILT_IN)
    return frozenset(module.name for module in pkgutil.iter_modules(package.__path__))


def _foreign_modules() -> Iterator[tuple[str, str]]:
    """Yield modules with steps outside this package, and who named them."""
    for name in os.environ.get(MODULES_VARIABLE, "").split(","):
        if name.strip():
            yield name.strip(), f"the variable {MODULES_VARIABLE}"
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        owner = point.dist.name if point.dist is not None else "an unknown package"
        yield point.module, f"the entry point {point.name!r} of {owner}"


def validate(name: str, values: Mapping[str, Any]) -> StepParameters:
    """Check the parameters of a process.

    Raises
    ------
    InvalidParametersError
        If the step is unknown or the values do not fit; the text names every bad value.
    """
    model = find_step(name).parameters
    try:
        checked: StepParameters = model.model_validate(dict(values))
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc'])) or 'parameters'} = {e['input']!r}: {e['msg']}"
            for e in error.errors()
        ]
        raise InvalidParametersError(
            f"the parameters of step {name} are not valid: " + "; ".join(lines)
        ) from error
    return checked
