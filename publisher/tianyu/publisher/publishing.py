"""Publishing the reduction of an observation: one run, one transaction, at most once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from tianyu.publisher.collisions import retry_collisions
from tianyu.publisher.graph import GraphInputs, build_graph
from tianyu.publisher.plans import ReductionPlan, plan_again, plan_reduction
from tianyu.publisher.reuse import Reuse, find_reusable
from tianyu.publisher.run_sites import check_served, sites_of, used_gpu
from tianyu.schema.crashpoints import CrashPoint, crash_point
from tianyu.schema.database import Database
from tianyu.schema.directory import code_version, ensure_queue
from tianyu.schema.errors import GraphError
from tianyu.schema.pid import PidFactory
from tianyu.schema.tables import Process, Reduction
from tianyu.schema.transitions.publish import (
    ProcessSpec,
    RunSpec,
    find_run,
    insert_graph,
    insert_run,
)

CHUNK_FRAMES = 32
"""Frames per process: overhead is amortised, and a night still has work for many machines."""

FAN_OUT = 5
"""Stacks merged per node of a tree."""

PRIORITIES = range(-1000, 1001)
"""Priorities that people may give; the column holds a little more."""

PIDS = PidFactory()
"""Draws the ids of all processes that are published here."""


@dataclass(frozen=True)
class PublishOptions:
    """What a person may choose about a run.

    Attributes
    ----------
    recipe : str or None
        None: the default one for the kind of frames.
    chunk_frames, fan_out : int
        Frames per process; stacks merged per node of the tree.
    steps : mapping
        Parameters by step and name.
    priority : int
        Smaller runs first.
    is_fresh : bool
        Repeat everything, even what an earlier run of the observation did just the same.
    science_site_id : int or None
        Site that makes light curves of what the site of the frames has measured; None: the same.
        A run is the same wherever it is done.
    first_frames : int or None
        Only so many frames, the first ones of the night; None: all.
    with_gpu : bool
        Consumers of group gpu calibrate, align and measure frames. A run is the same wherever it
        is done.

    Raises
    ------
    GraphError
        If the priority is out of range.
    """

    recipe: str | None = None
    chunk_frames: int = CHUNK_FRAMES
    fan_out: int = FAN_OUT
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    priority: int = 100
    is_fresh: bool = False
    science_site_id: int | None = None
    first_frames: int | None = None
    with_gpu: bool = False

    def __post_init__(self) -> None:
        if self.priority not in PRIORITIES:
            raise GraphError(
                f"priority {self.priority} is out of range; give {PRIORITIES[0]} (first) to "
                f"{PRIORITIES[-1]} (last)"
            )


@dataclass(frozen=True)
class PublishedRun:
    """A run that is in the database; ``is_new`` is False when it already was.

    Attributes
    ----------
    n_processes, n_reused : int
        Of its own; and how many of ``reused_run`` it need not repeat.
    notes : tuple of str
        Masters used and missing.
    template : str or None
        Whose template it is measured at in one pass, in words.
    """

    run_id: int
    recipe: str
    n_processes: int
    is_new: bool
    notes: tuple[str, ...]
    n_reused: int = 0
    reused_run: int | None = None
    template: str | None = None


def publish(
    database: Database, observation_id: int, site_id: int, options: PublishOptions | None = None
) -> PublishedRun:
    """Publish the processes that reduce an observation.

    Parameters
    ----------
    database : Database
    observation_id : int
    site_id : int
        Where the processes run, unless the options name another site for some of them: the
        observation's frames must have copies there.
    options : PublishOptions, optional

    Returns
    -------
    PublishedRun
        Publishing the same thing again returns the run that is there.

    Raises
    ------
    GraphError
        If there are no frames, a frame has no copy at the site, the options do not fit the
        recipe, or another site makes the light curves and the files of this one are not served.
    NotFoundError
        If there is no such observation, site or recipe.
    InvalidParametersError
        If a parameter does not validate; nothing is published then.
    """
    chosen = options or PublishOptions()
    return _published(
        database,
        f"observation {observation_id}",
        lambda c: _publish(c, _plan(c, observation_id, site_id, chosen), site_id, chosen),
    )


def publish_again(database: Database, run_id: int, *, is_fresh: bool = False) -> PublishedRun:
    """Publish a run once more with what people say of its frames now, and all else as it was.

    What does not depend on the verdicts is not repeated. Where they are those of an earlier run,
    that run is the answer.

    Parameters
    ----------
    database : Database
    run_id : int
    is_fresh : bool
        Repeat everything.

    Raises
    ------
    NotFoundError
        If there is no such run of an observation.
    GraphError
        If its recipe or its frames are gone.
    """

    def work(connection: Connection) -> PublishedRun:
        plan = plan_again(connection, run_id)
        sites = sites_of(connection, run_id, plan.recipe)
        options = PublishOptions(
            is_fresh=is_fresh,
            science_site_id=sites.science,
            with_gpu=used_gpu(connection, run_id),
        )
        return _publish(connection, plan, sites.frames, options)

    return _published(database, f"run {run_id}", work)


def _published(
    database: Database, what: str, work: Callable[[Connection], PublishedRun]
) -> PublishedRun:
    try:
        run = retry_collisions(database, work)
    except IntegrityError as error:
        raise GraphError(
            f"{what} could not be published: {error.orig}; publish it again"
        ) from error
    crash_point(CrashPoint.AFTER_PUBLISH_COMMIT)
    return run


def _plan(
    connection: Connection, observation_id: int, site_id: int, options: PublishOptions
) -> ReductionPlan:
    return plan_reduction(
        connection,
        observation_id,
        site_id,
        recipe=options.recipe,
        chunk_frames=options.chunk_frames,
        fan_out=options.fan_out,
        steps=options.steps,
        first_frames=options.first_frames,
    )


def _publish(
    connection: Connection, plan: ReductionPlan, site_id: int, options: PublishOptions
) -> PublishedRun:
    key = plan.key
    existing = find_run(connection, key)
    if existing is not None:
        return _read(connection, existing, plan)
    science_site_id = options.science_site_id
    if science_site_id in {None, site_id}:
        science_queue_of = None
    else:
        check_served(connection, site_id, science_site_id)
        science_queue_of = _Queues(connection, science_site_id)
    queue_of = _Queues(connection, site_id)

    def build(reuse: Reuse | None) -> list[ProcessSpec]:
        return build_graph(
            plan.recipe,
            _inputs(plan, options),
            draw_ids=PIDS.draw,
            queue_of=queue_of,
            science_queue_of=science_queue_of,
            priority=options.priority,
            reuse=reuse,
        )

    processes, reuse = build(None), None
    if not options.is_fresh:
        observation_id = plan.observation.id
        reuse = find_reusable(connection, observation_id, plan.recipe, processes, site_id)
    if reuse is not None:
        processes = build(reuse)
    recipe = plan.recipe
    spec = RunSpec(key, recipe.name, recipe.version, plan.parameters, code_version(), processes)
    run_id = insert_run(connection, spec)
    gain = plan.surroundings["gain_e_per_adu"]
    connection.execute(
        insert(Reduction).values(
            run_id=run_id,
            observation_id=plan.observation.id,
            flux_unit="adu" if gain is None else "electron",
            template_image_id=None if plan.template is None else plan.template.image_id,
            notes=_notes(plan, reuse),
        )
    )
    insert_graph(connection, run_id, processes)
    published = replace(_read(connection, run_id, plan), is_new=True)
    crash_point(CrashPoint.BEFORE_PUBLISH_COMMIT)
    return published


class _Queues:
    """Queues of one site by group, looked up or made once."""

    def __init__(self, connection: Connection, site_id: int) -> None:
        self._connection, self._site_id = connection, site_id
        self._known: dict[str, int] = {}

    def __call__(self, group: str) -> int:
        if group not in self._known:
            self._known[group] = ensure_queue(self._connection, self._site_id, group)
        return self._known[group]


def _inputs(plan: ReductionPlan, options: PublishOptions) -> GraphInputs:
    return GraphInputs(
        frames=[frame.id for frame in plan.frames],
        surroundings=plan.told,
        options=plan.steps,
        chunk_frames=plan.chunk_frames,
        fan_out=plan.fan_out,
        parents=() if plan.template is None else (plan.template.detected_by,),
        with_gpu=options.with_gpu,
    )


def _notes(plan: ReductionPlan, reuse: Reuse | None) -> dict[str, Any]:
    """Return what is kept of a run in words, for people."""
    notes: dict[str, Any] = {"masters": list(plan.notes)}
    if plan.template is not None:
        notes["template"] = plan.template.note
    if reuse is not None:
        notes["reused"] = {"run": reuse.run_id, "processes": reuse.n_processes}
    return notes


def _read(connection: Connection, run_id: int, plan: ReductionPlan) -> PublishedRun:
    n_processes = connection.scalar(select(func.count()).where(Process.run_id == run_id))
    query = select(Reduction.notes).where(Reduction.run_id == run_id)
    notes = connection.scalar(query) or {}
    reused = notes.get("reused", {})
    return PublishedRun(
        run_id=run_id,
        recipe=plan.recipe.name,
        n_processes=n_processes or 0,
        is_new=False,
        notes=plan.notes,
        n_reused=reused.get("processes", 0),
        reused_run=reused.get("run"),
        template=notes.get("template"),
    )
