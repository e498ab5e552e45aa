"""A process of a graph while the graph is drawn, before it has an id."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tianyu.pipelines.step import Step
from tianyu.publisher.recipe import RunsAt


@dataclass(frozen=True)
class Draft:
    """A process before it has an id; parents and fed ids are indices of drafts.

    Attributes
    ----------
    step : Step
    values : mapping
        Parameters by name; those that the step does not have are left out.
    parents : tuple of int
    feeds : mapping of str to tuple of int
        Parameters that get the ids of other processes, whose files the step reads.
    existing : int or None
        The id of one that another run has done; it is not published again.
    at : RunsAt
    on_gpu : bool
        Whether consumers of group gpu do it, whatever its step says.
    """

    step: Step[Any]
    values: Mapping[str, Any]
    parents: tuple[int, ...] = ()
    feeds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    existing: int | None = None
    at: RunsAt = RunsAt.FRAMES
    on_gpu: bool = False
