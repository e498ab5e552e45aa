"""What is to be reduced and how: everything that makes one run differ from another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from tianyu.publisher.inputs import find_masters, frames_of_run, read_frames, read_observation
from tianyu.publisher.recipe import Recipe, check_recipe
from tianyu.publisher.recipes import (
    DEFAULT_RECIPES,
    LIGHT_CURVES,
    LIGHT_CURVES_ONE_PASS,
    LIVE,
    find_recipe,
)
from tianyu.publisher.surroundings import surroundings_of
from tianyu.publisher.templates import KnownTemplate, find_template, holds_targets, read_template
from tianyu.publisher.verdicts import Override, read_overrides
from tianyu.schema.errors import GraphError, NotFoundError
from tianyu.schema.tables import Reduction, Run
from tianyu.schema.transitions.publish import run_key


@dataclass(frozen=True)
class ReductionPlan:
    """One run before it is published.

    Attributes
    ----------
    observation : Row
        Of the table of observations.
    recipe : Recipe
    frames : list of Row
        Raw frames in the order of their exposures.
    surroundings : mapping
        What steps may ask for by name.
    chunk_frames, fan_out : int
    steps : mapping
        Parameters by step and name, chosen by a person.
    overrides : tuple of Override
        What people said of the frames.
    template : KnownTemplate or None
        Of another night, where this one needs none of its own.
    notes : tuple of str
        Which masters are used, and which are missing.
    """

    observation: Row[Any]
    recipe: Recipe
    frames: list[Row[Any]]
    surroundings: Mapping[str, Any]
    chunk_frames: int
    fan_out: int
    steps: Mapping[str, Mapping[str, Any]]
    overrides: tuple[Override, ...]
    template: KnownTemplate | None
    notes: tuple[str, ...]

    @property
    def parameters(self) -> dict[str, Any]:
        """As the run keeps them; with the frames they are its identity.

        Who gave a verdict and why does not change a result, so it is not among them.
        """
        parameters = {
            "observation": self.observation.name,
            "chunk_frames": self.chunk_frames,
            "fan_out": self.fan_out,
            "options": {name: dict(values) for name, values in sorted(self.steps.items())},
            "surroundings": self.surroundings,
        }
        if self.overrides:
            parameters["verdicts"] = sorted([o.fingerprint, o.is_good] for o in self.overrides)
        if self.template is not None:
            parameters["template"] = self.template.parameters
        return parameters

    @property
    def key(self) -> str:
        """Identity of the run."""
        fingerprints = [frame.fingerprint for frame in self.frames]
        return run_key(self.recipe.name, self.recipe.version, self.parameters, fingerprints)

    @property
    def told(self) -> dict[str, Any]:
        """What steps are told: surroundings, people's verdicts, another night's template."""
        told = {**self.surroundings, "by_hand": [o.parameters for o in self.overrides]}
        if self.template is not None:
            told["template"] = self.template.parameters
            told["reference_is_of_another_night"] = True
        return told


def plan_reduction(
    connection: Connection,
    observation_id: int,
    site_id: int,
    *,
    recipe: str | None,
    chunk_frames: int,
    fan_out: int,
    steps: Mapping[str, Mapping[str, Any]],
    first_frames: int | None = None,
) -> ReductionPlan:
    """Plan the reduction of an observation as it stands now, or of its first frames.

    Without a recipe a night whose sky has a template of another night is measured in one pass,
    unless an option is for a step that only two passes have.

    Raises
    ------
    GraphError
        If there are no frames, a frame has no copy at the site, or the recipe does not fit.
    NotFoundError
        If there is no such observation, site or recipe.
    """
    observation = read_observation(connection, observation_id)
    chosen = find_recipe(recipe or _default_recipe(observation))
    if chosen.kind != observation.kind:
        raise GraphError(
            f"recipe {chosen.name} is for {chosen.kind} frames, but observation "
            f"{observation.name!r} holds {observation.kind} frames"
        )
    frames = read_frames(connection, observation, site_id)[:first_frames]
    masters = find_masters(connection, observation, frames, site_id)
    surroundings = surroundings_of(connection, observation, frames, masters)
    template = None
    if chosen is LIVE:
        # Its run begins without frames and grows, see tianyu.publisher.live.
        raise GraphError(
            f"recipe {LIVE.name} is for frames of an open night as they come; use `tianyu watch`"
        )
    if chosen is LIGHT_CURVES_ONE_PASS or (recipe is None and chosen is LIGHT_CURVES):
        template = fitting_template(connection, observation, frames, site_id, surroundings)
    if chosen is LIGHT_CURVES_ONE_PASS and template is None:
        raise GraphError(
            f"observation {observation.name!r} cannot be measured in one pass: its sky has no "
            "template of another night with this instrument, filter, size and targets, or it has "
            f"one of its own; use recipe {LIGHT_CURVES.name}"
        )
    is_asked_for = chosen is LIGHT_CURVES_ONE_PASS
    if template is not None and (is_asked_for or _takes(LIGHT_CURVES_ONE_PASS, steps)):
        chosen = LIGHT_CURVES_ONE_PASS
        # The offsets of the sources, and so their times, count from the template's centre.
        surroundings["field"] = template.field
    else:
        template = None
    check_recipe(chosen)
    return ReductionPlan(
        observation=observation,
        recipe=chosen,
        frames=frames,
        surroundings=surroundings,
        chunk_frames=chunk_frames,
        fan_out=fan_out,
        steps=steps,
        overrides=tuple(read_overrides(connection, [frame.id for frame in frames])),
        template=template,
        notes=masters.notes,
    )


def fitting_template(
    connection: Connection,
    observation: Row[Any],
    frames: list[Row[Any]],
    site_id: int,
    surroundings: Mapping[str, Any],
) -> KnownTemplate | None:
    """Return the template of another night, if it fits and holds every target that is expected."""
    template = find_template(connection, observation, frames, site_id)
    targets = {target["target_id"] for target in surroundings["targets"]}
    if template is None or not holds_targets(connection, template.image_id, targets):
        return None
    return template


def plan_again(connection: Connection, run_id: int) -> ReductionPlan:
    """Plan a run once more, with what people say of its frames now, and all else as it was.

    Raises
    ------
    NotFoundError
        If there is no such run.
    GraphError
        If it is of a recipe that there is no more, or frames of it are gone.
    """
    run = connection.execute(
        select(Run.__table__, Reduction.observation_id, Reduction.notes)
        .join(Reduction, Reduction.run_id == Run.id)
        .where(Run.id == run_id)
    ).one_or_none()
    if run is None:
        raise NotFoundError(f"there is no run {run_id} of an observation; see `tianyu run list`")
    recipe = find_recipe(run.recipe)
    if recipe.version != run.recipe_version:
        raise GraphError(
            f"run {run_id} is of version {run.recipe_version} of recipe {recipe.name}, this is "
            f"version {recipe.version}; publish the observation anew"
        )
    if recipe is LIVE:
        raise GraphError(
            f"run {run_id} is of an open night; what was said of its frames counts when the night "
            "is closed (`tianyu observation close`)"
        )
    parameters = run.parameters
    frames = frames_of_run(connection, run_id, recipe.stages)
    known = parameters.get("template")
    return ReductionPlan(
        observation=read_observation(connection, run.observation_id),
        recipe=recipe,
        frames=frames,
        surroundings=parameters["surroundings"],
        chunk_frames=parameters["chunk_frames"],
        fan_out=parameters["fan_out"],
        steps=parameters["options"],
        overrides=tuple(read_overrides(connection, [frame.id for frame in frames])),
        template=None if known is None else read_template(connection, known["run_id"]),
        notes=tuple(run.notes.get("masters", ())),
    )


def _takes(recipe: Recipe, steps: Mapping[str, Any]) -> bool:
    return set(steps) <= {stage.step for stage in recipe.stages}


def _default_recipe(observation: Row[Any]) -> str:
    if observation.kind == "light":
        return str(observation.default_recipe)
    return DEFAULT_RECIPES[observation.kind]
