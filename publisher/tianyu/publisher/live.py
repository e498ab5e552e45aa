"""The run of an open night: it grows by a process for every frame that comes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, exists, func, insert, select

from tianyu.publisher.collisions import retry_collisions
from tianyu.publisher.graph import GraphInputs, build_graph
from tianyu.publisher.inputs import find_masters, read_frames, read_observation
from tianyu.publisher.plans import ReductionPlan, fitting_template
from tianyu.publisher.publishing import PIDS, PublishOptions
from tianyu.publisher.recipe import check_recipe
from tianyu.publisher.recipes import LIVE
from tianyu.publisher.surroundings import surroundings_of
from tianyu.publisher.templates import read_template
from tianyu.publisher.verdicts import read_overrides
from tianyu.schema.database import Database
from tianyu.schema.directory import code_version, ensure_queue
from tianyu.schema.states import State
from tianyu.schema.tables import (
    Image,
    ImageCopy,
    Observation,
    Process,
    Reduction,
    Run,
    SourcePhotometry,
)
from tianyu.schema.transitions.publish import RunSpec, find_run, insert_graph, insert_run, run_key

PROVISIONAL = (
    "provisional: each frame is compared with the reference stars of the template's run as it "
    "comes; the reduction of the whole night, when it is closed, takes its place"
)

PRIORITY = 50
"""A frame that has just come is measured before what can wait."""

MEASURE_STEP = "measure_live"
FIRST_STAGES = {stage.step: stage.name for stage in LIVE.stages if stage.step != MEASURE_STEP}
"""What a run has once, by the step; all its frames wait for it."""

OPEN_STATES = (State.WAITING, State.READY, State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class LiveProcess:
    """The process that measures one frame of an open night."""

    process_id: int
    image_id: int


def find_live_run(connection: Connection, observation_id: int) -> int | None:
    """Return the newest run by which frames of an observation are measured as they come.

    One of another version of the recipe or of the code is left as it is.
    """
    return live_runs(connection, [observation_id]).get(observation_id)


def live_runs(
    connection: Connection, observation_ids: Sequence[int] | None = None
) -> dict[int, int]:
    """Return those runs of many observations, by default of all, by the observation."""
    query = (
        select(Reduction.observation_id, func.max(Run.id).label("run_id"))
        .join(Run, Run.id == Reduction.run_id)
        .where(
            Run.recipe == LIVE.name,
            Run.recipe_version == LIVE.version,
            Run.code_version == code_version(),
        )
        .group_by(Reduction.observation_id)
    )
    if observation_ids is not None:
        query = query.where(Reduction.observation_id.in_(observation_ids))
    return {row.observation_id: row.run_id for row in connection.execute(query)}


def is_comparable(connection: Connection, run_id: int) -> bool:
    """Tell whether a run has chosen reference stars, so that frames can be compared with them."""
    return bool(connection.scalar(select(exists().where(SourcePhotometry.run_id == run_id))))


def is_over(connection: Connection, run_id: int) -> bool:
    """Tell whether nothing of a run can still move by itself."""
    open_ones = select(func.count()).where(
        Process.run_id == run_id, Process.state.in_([state.value for state in OPEN_STATES])
    )
    return not connection.scalar(open_ones)


def publish_live(
    database: Database,
    observation_id: int,
    site_id: int,
    options: PublishOptions,
    *,
    template_run: int | None,
) -> int | None:
    """Publish the run of an open night with the frames that are there; return its number.

    Parameters
    ----------
    database : Database
    observation_id, site_id : int
    options : PublishOptions
        Of the night; those for steps of the recipe count.
    template_run : int or None
        Run of the first frames of this night; None: the template of another night, if one fits.

    Returns
    -------
    int or None
        The run that is there, if it is the same; None while there is no template with light
        curves.

    Raises
    ------
    GraphError
        If the observation has no frames, or some have no copy at the site.
    NotFoundError
        If there is no such observation or site.
    """

    def work(connection: Connection) -> int | None:
        plan = plan_live(
            connection, observation_id, site_id, template_run=template_run, steps=options.steps
        )
        if plan is None or plan.template is None:
            return None
        if not is_comparable(connection, plan.template.run_id):
            return None
        # Known by all but its frames, which come later.
        key = run_key(LIVE.name, LIVE.version, plan.parameters, ())
        return find_run(connection, key) or _insert(connection, key, plan, site_id)

    return retry_collisions(database, work)


def plan_live(
    connection: Connection,
    observation_id: int,
    site_id: int,
    *,
    template_run: int | None,
    steps: Mapping[str, Mapping[str, Any]],
) -> ReductionPlan | None:
    """Plan the run of an open night with the frames that are there.

    Parameters
    ----------
    connection : Connection
    observation_id, site_id : int
    template_run : int or None
        Run of the first frames of this night; None: the template of another night, if one fits.
    steps : mapping
        Parameters by step and name.

    Returns
    -------
    ReductionPlan or None
        None while there is no template.
    """
    observation = read_observation(connection, observation_id)
    frames = read_frames(connection, observation, site_id)
    masters = find_masters(connection, observation, frames, site_id)
    surroundings = surroundings_of(connection, observation, frames, masters)
    if template_run is None:
        template = fitting_template(connection, observation, frames, site_id, surroundings)
    else:
        template = read_template(connection, template_run)
    if template is None:
        return None
    # The offsets of the sources, and so their times, count from the template's centre.
    surroundings["field"] = template.field
    check_recipe(LIVE)
    own = {stage.step for stage in LIVE.stages}
    return ReductionPlan(
        observation=observation,
        recipe=LIVE,
        frames=frames,
        surroundings=surroundings,
        chunk_frames=1,
        fan_out=2,
        steps={name: values for name, values in steps.items() if name in own},
        overrides=(),
        template=template,
        notes=masters.notes,
    )


def measure_live(database: Database, run_id: int, site_id: int) -> list[LiveProcess]:
    """Add a process to the run of an open night for every frame that has none yet.

    Parameters
    ----------
    database : Database
    run_id : int
        Of :func:`publish_live`.
    site_id : int

    Returns
    -------
    list of LiveProcess
        The new ones, in the order of the exposures.
    """
    return retry_collisions(database, lambda c: _extend(c, run_id, site_id))


def processes_of(connection: Connection, run_id: int) -> list[LiveProcess]:
    """Return the processes that measure the frames of an open night."""
    query = select(Process.id, Process.parameters).where(
        Process.run_id == run_id, Process.command == MEASURE_STEP
    )
    return [LiveProcess(row.id, row.parameters["frames"][0]) for row in connection.execute(query)]


def _insert(connection: Connection, key: str, plan: ReductionPlan, site_id: int) -> int:
    spec = RunSpec(key, LIVE.name, LIVE.version, plan.parameters, code_version())
    run_id = insert_run(connection, spec)
    gain = plan.surroundings["gain_e_per_adu"]
    connection.execute(
        insert(Reduction).values(
            run_id=run_id,
            observation_id=plan.observation.id,
            flux_unit="adu" if gain is None else "electron",
            template_image_id=None if plan.template is None else plan.template.image_id,
            notes={"masters": list(plan.notes), "live": PROVISIONAL},
        )
    )
    _publish(connection, run_id, site_id, plan.parameters, [frame.id for frame in plan.frames], {})
    return run_id


def _extend(connection: Connection, run_id: int, site_id: int) -> list[LiveProcess]:
    """Add what is missing, under a lock: two watchers never add a frame twice."""
    # Of the observation's row, which publishers may change; a run's they may only add.
    night = select(Reduction.observation_id).where(Reduction.run_id == run_id).scalar_subquery()
    connection.execute(select(Observation.id).where(Observation.id == night).with_for_update())
    parameters = connection.execute(select(Run.parameters).where(Run.id == run_id)).scalar_one()
    known = {process.image_id for process in processes_of(connection, run_id)}
    frames = (
        select(Image.id)
        .join(ImageCopy, (ImageCopy.image_id == Image.id) & (ImageCopy.site_id == site_id))
        .join(Reduction, Reduction.observation_id == Image.observation_id)
        .where(Reduction.run_id == run_id, Image.birth.is_(None))
        .order_by(Image.utc_start, Image.id)
    )
    new = [image_id for image_id in connection.scalars(frames) if image_id not in known]
    if not new:
        return []
    first = select(Process.id, Process.command).where(
        Process.run_id == run_id, Process.command.in_(FIRST_STAGES)
    )
    standing = {FIRST_STAGES[row.command]: [row.id] for row in connection.execute(first)}
    return _publish(connection, run_id, site_id, parameters, new, standing)


def _publish(
    connection: Connection,
    run_id: int,
    site_id: int,
    parameters: Mapping[str, Any],
    image_ids: Sequence[int],
    standing: Mapping[str, Sequence[int]],
) -> list[LiveProcess]:
    told = {
        **parameters["surroundings"],
        "template": parameters["template"],
        "by_hand": [o.parameters for o in read_overrides(connection, image_ids)],
    }
    processes = build_graph(
        LIVE,
        GraphInputs(
            frames=image_ids,
            surroundings=told,
            options=parameters["options"],
            chunk_frames=1,
            fan_out=2,
        ),
        draw_ids=PIDS.draw,
        queue_of=lambda group: ensure_queue(connection, site_id, group),
        priority=PRIORITY,
        standing=standing,
    )
    insert_graph(connection, run_id, processes)
    return [
        LiveProcess(p.id, p.parameters["frames"][0]) for p in processes if p.command == MEASURE_STEP
    ]
