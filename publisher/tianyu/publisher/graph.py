"""From a recipe and a set of frames to processes with their dependencies."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tianyu.pipelines.calibration import Calibration
from tianyu.pipelines.kernels import GPU_GROUP
from tianyu.pipelines.step import Step, find_step, validate
from tianyu.publisher.drafts import Draft
from tianyu.publisher.recipe import OWN_PARAMETERS, Recipe, RunsAt, Scope, Stage, takes_list
from tianyu.publisher.reuse import Reuse
from tianyu.publisher.transfers import with_transfers
from tianyu.schema.errors import GraphError
from tianyu.schema.pid import to_text
from tianyu.schema.transitions.publish import ProcessSpec

ADOPTION_STEP = "adopt_measurements"


@dataclass(frozen=True)
class GraphInputs:
    """What the processes of a graph are made from.

    Attributes
    ----------
    frames : sequence of int
        Image ids in the order of their exposures.
    surroundings : mapping
        Parameters by name, given to every step that has a parameter of that name.
    options : mapping
        Parameters by step and name, chosen by a person.
    chunk_frames, fan_out : int
        Frames per process; children per node of a tree.
    parents : tuple of int
        Processes of other runs that the first stages wait for.
    with_gpu : bool
        Consumers of group gpu do what gains by it.
    """

    frames: Sequence[int]
    surroundings: Mapping[str, Any]
    options: Mapping[str, Mapping[str, Any]]
    chunk_frames: int
    fan_out: int
    parents: tuple[int, ...] = ()
    with_gpu: bool = False

    def __post_init__(self) -> None:
        if not self.frames:
            raise GraphError("there are no frames to process; register some first")
        if self.chunk_frames < 1:
            raise GraphError(f"chunk size {self.chunk_frames} is impossible; give 1 or more")
        if self.fan_out < 2:
            raise GraphError(f"fan-out {self.fan_out} makes no tree; give 2 or more")
        if len(set(self.frames)) < len(self.frames):
            raise GraphError("a frame is there twice; give every frame once")


def build_graph(
    recipe: Recipe,
    inputs: GraphInputs,
    *,
    draw_ids: Callable[[int], Sequence[int]],
    queue_of: Callable[[str], int],
    science_queue_of: Callable[[str], int] | None = None,
    priority: int = 100,
    reuse: Reuse | None = None,
    standing: Mapping[str, Sequence[int]] | None = None,
) -> list[ProcessSpec]:
    """Build the processes of a recipe, parents before children, all parameters validated.

    Parameters
    ----------
    recipe : Recipe
    inputs : GraphInputs
    draw_ids : callable
        Gives that many new process ids, ascending.
    queue_of : callable
        Queue of a hardware group, where the frames are.
    science_queue_of : callable, optional
        The same at the site where light curves are made, if it is another one: files that are
        read there are brought by further processes.
    priority : int
        Of every process; smaller runs first.
    reuse : Reuse, optional
        Stages that another run has done: their processes are parents here, and one more process
        takes over their rows before anything else is done.
    standing : mapping of str to sequence of int, optional
        Stages that the run has already, with their processes: the others are hung on to them.

    Raises
    ------
    GraphError
        If an option is for no step of the recipe, no parameter, or not for people to choose.
    InvalidParametersError
        If a parameter of any process does not validate.
    """
    check_options(recipe, inputs.options)
    drafts: list[Draft] = []
    made: dict[str, list[int]] = {}
    if reuse is not None:
        drafts.extend(_adopted_drafts(recipe, reuse, made))
    adoption = tuple(range(len(drafts)))[-1:]
    drafts.extend(_existing_drafts(recipe, standing or {}, len(drafts), made))
    for stage in recipe.stages:
        is_off = stage.only_with is not None and stage.only_with not in inputs.options
        if stage.name in made or is_off:
            continue
        first = len(drafts)
        drafts.extend(_stage_drafts(stage, inputs, made, first, adoption))
        # The root stands for a whole tree, all its processes for any other stage.
        whole = list(range(first, len(drafts)))
        made[stage.name] = whole[-1:] if stage.scope is Scope.TREE else whole
    if science_queue_of is not None:
        drafts = with_transfers(drafts)
    queues = {RunsAt.FRAMES: queue_of, RunsAt.SCIENCE: science_queue_of or queue_of}
    new = iter(draw_ids(sum(draft.existing is None for draft in drafts)))
    ids = [next(new) if draft.existing is None else draft.existing for draft in drafts]
    return [
        _spec(draft, ids, i, queues[draft.at], priority, inputs.parents)
        for i, draft in enumerate(drafts)
        if draft.existing is None
    ]


def check_options(recipe: Recipe, options: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse options that no process of a recipe can have.

    Parameters
    ----------
    recipe : Recipe
    options : mapping
        Parameters by step and name.

    Raises
    ------
    GraphError
        With the steps or parameters that there are.
    """
    steps = {stage.step for stage in recipe.stages}
    fed = {(stage.step, parameter) for stage in recipe.stages for parameter in stage.feeds}
    for name, values in options.items():
        if name not in steps:
            raise GraphError(
                f"recipe {recipe.name} has no step {name!r}; its steps: {', '.join(sorted(steps))}"
            )
        known = find_step(name).parameters.model_fields
        open_to_people = [k for k in known if k not in OWN_PARAMETERS and (name, k) not in fed]
        for key in values:
            if key not in known:
                raise GraphError(
                    f"step {name} has no parameter {key!r}; it has {', '.join(open_to_people)}"
                )
            if key not in open_to_people:
                raise GraphError(
                    f"parameter {key!r} of step {name} follows from the graph; leave it out"
                )


def chunks(frames: Sequence[int], size: int) -> list[tuple[int, ...]]:
    """Cut frames into chunks of at most ``size``, in order.

    Examples
    --------
    >>> chunks([1, 2, 3, 4, 5], 2)
    [(1, 2), (3, 4), (5,)]
    """
    return [tuple(frames[start : start + size]) for start in range(0, len(frames), size)]


def _adopted_drafts(recipe: Recipe, reuse: Reuse, made: dict[str, list[int]]) -> list[Draft]:
    """Return a draft per process that is not repeated, and last the one that takes over."""
    drafts = _existing_drafts(recipe, reuse.stages, 0, made)
    values = {"source_run": reuse.run_id, "kinds": reuse.kinds}
    parents = tuple(range(len(drafts)))
    return [*drafts, Draft(find_step(ADOPTION_STEP), values, parents)]


def _existing_drafts(
    recipe: Recipe,
    stages: Mapping[str, Sequence[int]],
    first: int,
    made: dict[str, list[int]],
) -> list[Draft]:
    """Return a draft per process that is there already, and note which stages they make."""
    drafts: list[Draft] = []
    for stage in recipe.stages:
        if stage.name in stages:
            start, step = first + len(drafts), find_step(stage.step)
            drafts.extend(Draft(step, {}, existing=pid) for pid in stages[stage.name])
            made[stage.name] = list(range(start, first + len(drafts)))
    return drafts


def _stage_drafts(
    stage: Stage,
    inputs: GraphInputs,
    made: Mapping[str, Sequence[int]],
    first: int,
    adoption: tuple[int, ...],
) -> Iterator[Draft]:
    step = find_step(stage.step)
    waits_for = (*(i for parent in stage.parents for i in made[parent]), *adoption)
    common = {**inputs.surroundings, **inputs.options.get(stage.step, {})}
    feeds = {name: tuple(made[source]) for name, source in stage.feeds.items()}
    if stage.scope is Scope.RUN:
        values = {"frames": tuple(inputs.frames), **common}
        yield Draft(step, values, waits_for, feeds, at=stage.runs_at)
    elif stage.scope is Scope.CHUNK:
        for position, chunk in enumerate(chunks(inputs.frames, inputs.chunk_frames)):
            values = {"frames": chunk, "position": position, **common}
            on_gpu = inputs.with_gpu and stage.gains_by_gpu
            yield Draft(step, values, waits_for, feeds, at=stage.runs_at, on_gpu=on_gpu)
    else:
        yield from _tree_drafts(stage, step, inputs, made, common, first)


def _tree_drafts(
    stage: Stage,
    step: Step[Any],
    inputs: GraphInputs,
    made: Mapping[str, Sequence[int]],
    common: Mapping[str, Any],
    first: int,
) -> Iterator[Draft]:
    """Yield the nodes of a tree level by level; the last one is the root."""
    # One stage, as check_recipe saw to.
    ((fed_name, fed_stage),) = stage.feeds.items()
    others = tuple(i for parent in stage.after for i in made[parent])
    below: list[int] = list(made[fed_stage])
    level, number = 0, first
    while level == 0 or len(below) > 1:
        level += 1
        at = (stage.leaves_at if level == 1 else None) or stage.runs_at
        groups = chunks(below, inputs.fan_out)
        for position, group in enumerate(groups):
            values = {
                "level": level,
                "position": position,
                "is_root": len(groups) == 1,
                **common,
            }
            yield Draft(step, values, (*group, *others), {fed_name: group}, at=at)
        below = list(range(number, number + len(groups)))
        number += len(groups)


def _spec(
    draft: Draft,
    ids: Sequence[int],
    index: int,
    queue_of: Callable[[str], int],
    priority: int,
    first_parents: tuple[int, ...],
) -> ProcessSpec:
    fields = draft.step.parameters.model_fields
    values = {name: value for name, value in draft.values.items() if name in fields}
    for name, sources in draft.feeds.items():
        texts = [to_text(ids[i]) for i in sources]
        values[name] = texts if takes_list(draft.step, name) else texts[-1]
    checked = validate(draft.step.name, values)
    calibration = getattr(checked, "calibration", None)
    masters = () if calibration is None else _masters(calibration)
    others = masters if draft.parents else (*first_parents, *masters)
    return ProcessSpec(
        id=ids[index],
        command=draft.step.name,
        parameters=checked.model_dump(mode="json"),
        queue_id=queue_of(GPU_GROUP if draft.on_gpu else draft.step.group),
        parents=tuple(dict.fromkeys([*(ids[i] for i in draft.parents), *others])),
        priority=priority,
        repeatable=draft.step.repeatable,
    )


def _masters(calibration: Calibration) -> tuple[int, ...]:
    pids = (calibration.bias, calibration.dark, calibration.flat)
    return tuple(pid for pid in pids if pid is not None)
