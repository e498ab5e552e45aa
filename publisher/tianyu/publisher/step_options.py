"""Options of steps given for a whole registration, shared out among the recipes it publishes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tianyu.publisher.graph import check_options
from tianyu.publisher.publishing import PublishOptions
from tianyu.publisher.recipe import Recipe
from tianyu.publisher.recipes import DEFAULT_RECIPES, RECIPES, find_recipe
from tianyu.schema.errors import GraphError


def check_step_options(steps: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse options that no recipe can take, before anything is registered.

    Raises
    ------
    GraphError
        With the steps or parameters that there are.
    """
    for name, values in steps.items():
        users = [recipe for recipe in RECIPES.values() if name in _steps(recipe)]
        if not users:
            known = sorted({step for recipe in RECIPES.values() for step in _steps(recipe)})
            raise GraphError(f"no recipe has a step {name!r}; there are {', '.join(known)}")
        for recipe in users:
            check_options(recipe, {name: values})


def options_for(options: PublishOptions, kind: str) -> PublishOptions:
    """Return what of the options concerns the runs of one kind of frames.

    The recipe, chunk and fan-out are chosen for light frames: masters stay the same whatever
    is tried on these. A step of a calibration recipe gets its options there only.

    Parameters
    ----------
    options : PublishOptions
    kind : str
        ``bias``, ``dark``, ``flat`` or ``light``.
    """
    if kind != "light":
        own = _steps(find_recipe(DEFAULT_RECIPES[kind]))
        chosen = {name: values for name, values in options.steps.items() if name in own}
        return PublishOptions(priority=options.priority, steps=chosen)
    others = {
        step
        for other, name in DEFAULT_RECIPES.items()
        if other != "light"
        for step in _steps(find_recipe(name))
    }
    chosen = {name: values for name, values in options.steps.items() if name not in others}
    return replace(options, steps=chosen)


def _steps(recipe: Recipe) -> set[str]:
    return {stage.step for stage in recipe.stages}
