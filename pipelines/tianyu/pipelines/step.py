"""What a step is, and the registry of all of them.

A step says what it reads and writes, so that a graph can be checked before anything runs;
its parameters are a typed model, validated when published and again when run; its function
takes the parameters and a context and returns its products, which the engine commits
together with its success.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import InvalidParametersError
from tianyu.pipelines.products import Products
from tianyu.schema import pid


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


@cache
def _import_steps() -> None:
    package = importlib.import_module("tianyu.pipelines.steps")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def all_steps() -> Mapping[str, Step[Any]]:
    """Return every step by name; importing the package of steps registers them."""
    _import_steps()
    return dict(sorted(_REGISTRY.items()))


def find_step(name: str) -> Step[Any]:
    """Return a step by name.

    Raises
    ------
    InvalidParametersError
        If there is none of that name; the text lists the known ones.
    """
    _import_steps()
    if name not in _REGISTRY:
        known = ", ".join(sorted(_REGISTRY))
        raise InvalidParametersError(f"there is no step {name!r}; known steps: {known}")
    return _REGISTRY[name]


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
