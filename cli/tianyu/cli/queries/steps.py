"""The registered steps and what they take; answered by the code, without a database."""

import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tianyu.pipelines.step import Step, all_steps, find_step


@dataclass(frozen=True)
class StepSummary:
    """One step in a line."""

    name: str
    summary: str
    group: str
    reads: Sequence[str]
    writes: Sequence[str]
    repeatable: bool
    time_limit_s: float


@dataclass(frozen=True)
class StepParameter:
    """One parameter of a step; those of a nested model have dotted names."""

    name: str
    type: str
    default: str | None
    """None: it must be given."""
    limits: str
    description: str


def list_steps() -> list[StepSummary]:
    """Return every step by name."""
    return [summarise_step(step) for step in all_steps().values()]


def summarise_step(step: Step[Any]) -> StepSummary:
    """Return one step in a line."""
    return StepSummary(
        name=step.name,
        summary=step.summary,
        group=step.group,
        reads=step.reads,
        writes=step.writes,
        repeatable=step.repeatable,
        time_limit_s=step.time_limit_s,
    )


def read_parameters(name: str) -> list[StepParameter]:
    """Return the parameters of a step.

    Raises
    ------
    InvalidParametersError
        If there is no such step; the text lists the known ones.
    """
    return list(_parameters(find_step(name).parameters, ""))


def _parameters(model: type[BaseModel], prefix: str) -> Iterator[StepParameter]:
    for name, field in model.model_fields.items():
        yield StepParameter(
            name=f"{prefix}{name}",
            type=type_text(field.annotation),
            default=None if field.is_required() else _default_text(field),
            limits=", ".join(_limits(field)),
            description=field.description or "",
        )
        for nested in _models_in(field.annotation):
            yield from _parameters(nested, f"{prefix}{name}.")


def type_text(annotation: Any) -> str:
    """Return a type as people write it.

    Examples
    --------
    >>> type_text(tuple[int, ...]), type_text(float | None)
    ('list of int', 'float or none')
    """
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return type_text(arguments[0])
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(type_text(a) for a in arguments)
    if origin in {tuple, list}:
        return _sequence_text(arguments)
    return _plain_type_text(annotation)


def _sequence_text(arguments: Sequence[Any]) -> str:
    if len(arguments) == 1 or arguments[-1] is Ellipsis:
        return f"list of {type_text(arguments[0])}"
    return "(" + ", ".join(type_text(a) for a in arguments) + ")"


def _plain_type_text(annotation: Any) -> str:
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(repr(a) for a in typing.get_args(annotation))
    if annotation is types.NoneType:
        return "none"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(repr(member.value) for member in annotation)
    return str(getattr(annotation, "__name__", annotation))


def _default_text(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, BaseModel):
        return "its defaults"
    return "none" if value is None else repr(value)


_SIGNS = {
    annotated_types.Gt: (">", "gt"),
    annotated_types.Ge: ("≥", "ge"),
    annotated_types.Lt: ("<", "lt"),
    annotated_types.Le: ("≤", "le"),
}


def _limits(field: FieldInfo) -> Iterator[str]:
    for limit in field.metadata:
        if type(limit) in _SIGNS:
            sign, name = _SIGNS[type(limit)]
            yield f"{sign} {getattr(limit, name):g}"


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)
