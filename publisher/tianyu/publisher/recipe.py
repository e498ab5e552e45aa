"""What a recipe is: stages of steps and how they hang together, checked before anything runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from tianyu.pipelines.step import find_step
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
    """

    name: str
    step: str
    scope: Scope = Scope.RUN
    after: tuple[str, ...] = ()
    feeds: Mapping[str, str] = field(default_factory=dict)

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


def check_recipe(recipe: Recipe) -> None:
    """Check that every stage finds what it reads.

    Raises
    ------
    GraphError
        If a stage is named twice, waits for a later or unknown one, or reads a kind of data
        that nothing before it writes.
    """
    seen: dict[str, frozenset[str]] = {}
    for stage in recipe.stages:
        where = f"recipe {recipe.name}, stage {stage.name}"
        if stage.name in seen:
            raise GraphError(f"{where}: the name is used twice")
        unknown = [parent for parent in stage.parents if parent not in seen]
        if unknown:
            raise GraphError(f"{where}: waits for {unknown[0]!r}, which does not stand before it")
        step = find_step(stage.step)
        available = RAW_KINDS.union(*(seen[parent] for parent in stage.parents))
        missing = [kind for kind in step.reads if kind not in available]
        if missing:
            raise GraphError(
                f"{where}: step {step.name} reads {missing[0]!r}, which no stage before it writes"
            )
        seen[stage.name] = available.union(step.writes)
