"""What a recipe is: stages of steps and how they hang together, checked before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, get_origin

from tianyu.pipelines.step import Step, find_step
from tianyu.schema.errors import GraphError

RAW_KINDS = frozenset({"bias", "dark", "flat", "light"})
"""Kinds of data that are there before any process runs."""


class Scope(StrEnum):
    """How many processes a stage becomes."""

    RUN = "run"
    """One for all frames."""
    CHUNK = "chunk"
    """One for every chunk of frames."""
    TREE = "tree"
    """A tree of fan-out k over the processes of another stage; its root stands for it."""


class RunsAt(StrEnum):
    """Where the processes of a stage run, where a night is shared by two sites."""

    FRAMES = "frames"
    """At the site of the raw frames."""
    SCIENCE = "science"
    """At the site where light curves are made; often the same."""


SCOPE_PARAMETERS: Mapping[Scope, tuple[str, ...]] = {
    Scope.RUN: (),
    Scope.CHUNK: ("frames",),
    Scope.TREE: ("level", "position", "is_root"),
}
"""Parameters that a step must have to be used in a scope."""

OWN_PARAMETERS = frozenset(
    {
        "frames",
        "position",
        "level",
        "is_root",
        "template",
        "by_hand",
        "reference_is_of_another_night",
    }
)
"""Parameters that follow from the graph; a person cannot choose them."""


@dataclass(frozen=True)
class Stage:
    """One stage of a recipe.

    Parameters
    ----------
    name : str
    step : str
        The step it runs.
    scope : Scope
    after : tuple of str
        Stages that must have succeeded, all processes of them.
    feeds : mapping of str to str
        Parameters that get the process ids of another stage: a list where the parameter is
        one, else its single (or root) process. Implies ``after``.
    only_with : str or None
        A step without whose options the stage is left out; no other stage may wait for it.
    runs_at : RunsAt
        What reads raw frames or masters runs where these are.
    leaves_at : RunsAt or None
        Where the lowest level of a tree runs; None: where the rest of it does.
    is_adoptable : bool
        A later run takes over what it left, where its processes would be the same again. Its
        step writes rows that can be copied, or files, and is fed nothing.
    gains_by_gpu : bool
        Its time goes into the pixels of frames: where a run asks for it, consumers of group gpu
        do it.
    """

    name: str
    step: str
    scope: Scope = Scope.RUN
    after: tuple[str, ...] = ()
    feeds: Mapping[str, str] = field(default_factory=dict)
    only_with: str | None = None
    runs_at: RunsAt = RunsAt.FRAMES
    leaves_at: RunsAt | None = None
    is_adoptable: bool = False
    gains_by_gpu: bool = False

    @property
    def parents(self) -> tuple[str, ...]:
        """Every stage this one waits for."""
        return tuple(dict.fromkeys((*self.after, *self.feeds.values())))


@dataclass(frozen=True)
class Recipe:
    """A named, versioned sequence of stages; parents stand before children."""

    name: str
    version: int
    kind: str
    summary: str
    stages: Sequence[Stage]


@dataclass(frozen=True)
class _Seen:
    """What is known of a stage that stands before: its scope, and the data there after it."""

    scope: Scope
    available: frozenset[str]


def check_recipe(recipe: Recipe) -> None:
    """Check that every stage finds what it reads and can be given what it is fed.

    Raises
    ------
    GraphError
        If a stage is named twice, waits for a later or unknown one, reads a kind of data that
        nothing before it writes, or is fed what its step has no parameter for.
    InvalidParametersError
        If a step is unknown.
    """
    if recipe.kind not in RAW_KINDS:
        raise GraphError(
            f"recipe {recipe.name} is for {recipe.kind!r} frames; give one of "
            f"{', '.join(sorted(RAW_KINDS))}"
        )
    seen: dict[str, _Seen] = {}
    switches = {stage.name: stage.only_with for stage in recipe.stages}
    for stage in recipe.stages:
        where = f"recipe {recipe.name}, stage {stage.name}"
        if stage.name in seen:
            raise GraphError(f"{where}: the name is used twice")
        unknown = [parent for parent in stage.parents if parent not in seen]
        if unknown:
            raise GraphError(f"{where}: waits for {unknown[0]!r}, which does not stand before it")
        loose = [p for p in stage.parents if switches[p] not in {None, stage.only_with}]
        if loose:
            raise GraphError(f"{where}: waits for {loose[0]!r}, which may be left out")
        step = find_step(stage.step)
        available = RAW_KINDS.union(*(seen[parent].available for parent in stage.parents))
        missing = [kind for kind in step.reads if kind not in available]
        if missing:
            raise GraphError(
                f"{where}: step {step.name} reads {missing[0]!r}, which no stage before it writes"
            )
        _check_parameters(where, stage, step, seen)
        _check_place(where, stage, step)
        _check_adoption(where, stage, recipe)
        seen[stage.name] = _Seen(stage.scope, available.union(step.writes))


def takes_list(step: Step[Any], parameter: str) -> bool:
    """Tell whether a parameter of a step is a list."""
    return get_origin(step.parameters.model_fields[parameter].annotation) is tuple


def _check_parameters(where: str, stage: Stage, step: Step[Any], seen: Mapping[str, _Seen]) -> None:
    """Check that what the scope and the feeds give to a step are parameters of it."""
    needed = set(SCOPE_PARAMETERS[stage.scope]) | set(stage.feeds)
    absent = sorted(needed - set(step.parameters.model_fields))
    if absent:
        raise GraphError(f"{where}: step {step.name} has no parameter {absent[0]!r}")
    if stage.scope is Scope.TREE:
        if len(stage.feeds) != 1:
            raise GraphError(f"{where}: a tree is fed by one stage, not by {len(stage.feeds)}")
        if not takes_list(step, *stage.feeds):
            raise GraphError(f"{where}: {next(iter(stage.feeds))!r} of step {step.name} is no list")
    for parameter, source in stage.feeds.items():
        if seen[source].scope is Scope.CHUNK and not takes_list(step, parameter):
            raise GraphError(
                f"{where}: stage {source!r} has a process per chunk, but {parameter!r} of step "
                f"{step.name} takes one"
            )


def _check_place(where: str, stage: Stage, step: Step[Any]) -> None:
    """Check that nothing reads raw frames where there are none."""
    raw = sorted(RAW_KINDS.intersection(step.reads))
    if raw and RunsAt.SCIENCE in {stage.runs_at, stage.leaves_at}:
        raise GraphError(
            f"{where}: step {step.name} reads {raw[0]} frames, so it runs at their site; leave "
            "out runs_at"
        )
    if stage.leaves_at is not None and stage.scope is not Scope.TREE:
        raise GraphError(f"{where}: leaves_at is for trees; give runs_at")


def _check_adoption(where: str, stage: Stage, recipe: Recipe) -> None:
    """Check that an adoptable stage stands on such stages alone, and is known by its step."""
    if not stage.is_adoptable:
        return
    by_name = {other.name: other for other in recipe.stages}
    unfit = [name for name in stage.parents if not by_name[name].is_adoptable]
    if stage.runs_at is not RunsAt.FRAMES:
        raise GraphError(f"{where}: cannot be adopted, since it does not run where the frames are")
    if unfit or stage.feeds:
        raise GraphError(
            f"{where}: cannot be adopted, since it hangs on {(unfit or list(stage.feeds))[0]!r}"
        )
    if sum(other.step == stage.step for other in recipe.stages) > 1:
        raise GraphError(f"{where}: cannot be adopted, since its step is used by another stage")
