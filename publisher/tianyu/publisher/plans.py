"""What is to be reduced and how: everything that makes one run differ from another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any

from sqlalchemy import Connection, Row, select

from tianyu.publisher.graph import ADOPTION_STEP
from tianyu.publisher.masters import FrameProperties, MatchedMasters, julian_date, match_masters
from tianyu.publisher.recipe import Recipe, Stage, check_recipe
from tianyu.publisher.recipes import (
    DEFAULT_RECIPES,
    LIGHT_CURVES,
    LIGHT_CURVES_ONE_PASS,
    find_recipe,
)
from tianyu.publisher.surroundings import surroundings_of
from tianyu.publisher.templates import KnownTemplate, find_template, holds_targets, read_template
from tianyu.publisher.verdicts import Override, read_overrides
from tianyu.schema.errors import GraphError, NotFoundError
from tianyu.schema.tables import (
    Image,
    ImageCopy,
    Instrument,
    Observation,
    Process,
    Reduction,
    Run,
    Site,
)
from tianyu.schema.transitions.batches import in_batches
from tianyu.schema.transitions.publish import run_key

_WANTED_MASTERS = {
    "bias": (),
    "dark": ("bias",),
    "flat": ("bias", "dark"),
    "light": ("bias", "dark", "flat"),
}


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
) -> ReductionPlan:
    """Plan the reduction of an observation as it stands now.

    Without a recipe a night whose sky has a template of another night is measured in one pass,
    unless an option is for a step that only two passes have.

    Raises
    ------
    GraphError
        If there are no frames, a frame has no copy at the site, or the recipe does not fit.
    NotFoundError
        If there is no such observation, site or recipe.
    """
    observation = _observation(connection, observation_id)
    chosen = find_recipe(recipe or _default_recipe(observation))
    if chosen.kind != observation.kind:
        raise GraphError(
            f"recipe {chosen.name} is for {chosen.kind} frames, but observation "
            f"{observation.name!r} holds {observation.kind} frames"
        )
    frames = _frames(connection, observation, site_id)
    masters = _masters(connection, observation, frames, site_id)
    surroundings = surroundings_of(connection, observation, frames, masters)
    template = None
    if chosen is LIGHT_CURVES_ONE_PASS or (recipe is None and chosen is LIGHT_CURVES):
        template = find_template(connection, observation, frames, site_id)
        targets = {target["target_id"] for target in surroundings["targets"]}
        if template is not None and not holds_targets(connection, template.image_id, targets):
            template = None
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
    parameters = run.parameters
    frames = _frames_of_run(connection, run_id, recipe.stages)
    known = parameters.get("template")
    return ReductionPlan(
        observation=_observation(connection, run.observation_id),
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


def _frames_of_run(connection: Connection, run_id: int, stages: Sequence[Stage]) -> list[Row[Any]]:
    """Return the frames that a run was published with, in their order."""
    commands = [ADOPTION_STEP, *(stage.step for stage in stages)]
    query = select(Process.parameters).where(
        Process.run_id == run_id, Process.command.in_(commands)
    )
    processes = connection.scalars(query).all()
    ids = {i for values in processes for i in values.get("frames", ())}
    if ids:
        return _in_order(connection, sorted(ids))
    # All that names a frame may have been taken over.
    sources = [values["source_run"] for values in processes if "source_run" in values]
    if not sources:
        raise GraphError(f"run {run_id} has no frames left; publish the observation anew")
    return _frames_of_run(connection, sources[0], stages)


def _in_order(connection: Connection, image_ids: Sequence[int]) -> list[Row[Any]]:
    rows = [
        row
        for ids in in_batches(image_ids)
        for row in connection.execute(select(Image.__table__).where(Image.id.in_(ids)))
    ]
    return sorted(rows, key=lambda row: (row.utc_start is not None, row.utc_start or 0, row.id))


def _observation(connection: Connection, observation_id: int) -> Row[Any]:
    query = (
        select(Observation.__table__, Instrument.default_recipe)
        .join(Instrument, Instrument.id == Observation.instrument_id)
        .where(Observation.id == observation_id)
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no observation {observation_id}; register one first")
    return row


def _default_recipe(observation: Row[Any]) -> str:
    if observation.kind == "light":
        return str(observation.default_recipe)
    return DEFAULT_RECIPES[observation.kind]


def _frames(connection: Connection, observation: Row[Any], site_id: int) -> list[Row[Any]]:
    """Return the raw frames in the order of their exposures; all must have a copy here."""
    if connection.scalar(select(Site.id).where(Site.id == site_id)) is None:
        raise NotFoundError(f"there is no site {site_id}; make it first")
    query = (
        select(Image.__table__, ImageCopy.path)
        .outerjoin(ImageCopy, (ImageCopy.image_id == Image.id) & (ImageCopy.site_id == site_id))
        .where(Image.observation_id == observation.id, Image.birth.is_(None))
        .order_by(Image.utc_start, Image.id)
    )
    frames = list(connection.execute(query))
    if not frames:
        raise GraphError(f"observation {observation.name!r} has no frames; register some first")
    elsewhere = [frame for frame in frames if frame.path is None]
    if elsewhere:
        raise GraphError(
            f"{len(elsewhere)} of {len(frames)} frames of observation {observation.name!r}, "
            f"{elsewhere[0].name} first, have no copy at site {site_id}; register them there, or "
            "bring them: tianyu transfer"
        )
    return frames


def _masters(
    connection: Connection, observation: Row[Any], frames: list[Row[Any]], site_id: int
) -> MatchedMasters:
    exposures = [frame.exposure_s for frame in frames if frame.exposure_s is not None]
    times = [julian_date(frame.utc_start) for frame in frames if frame.utc_start is not None]
    properties = FrameProperties(
        instrument_id=observation.instrument_id,
        site_id=site_id,
        filter_id=observation.filter_id,
        width=frames[0].width,
        height=frames[0].height,
        binning=frames[0].binning,
        # Of mixed exposures the usual one: a value that some frame has.
        exposure_s=median_low(exposures) if exposures else None,
        jd=(min(times) + max(times)) / 2.0 if times else None,
        gain_e_per_adu=frames[0].header.get("gain_e_per_adu"),
        gain_setting=frames[0].header.get("gain_setting"),
        has_overscan="overscan_section" in frames[0].header,
    )
    return match_masters(connection, properties, wanted=_WANTED_MASTERS[observation.kind])
