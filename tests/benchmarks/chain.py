"""The project's own chain, from raw frames to committed rows, step by step in one process.

A second night of the same sky takes the one-pass recipe. Steps are run as a consumer's child runs
them, without the engine around them, whose cost is measured by itself.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from tests.benchmarks.metering import Cost, metered

from tianyu.broker.embedded import EmbeddedBroker
from tianyu.manager.manager import Manager
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.step import find_step, validate
from tianyu.publisher.publishing import PublishOptions
from tianyu.publisher.registering import RegisterRequest, register
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_site
from tianyu.schema.migrate import upgrade
from tianyu.schema.states import State
from tianyu.schema.tables import Flux, FrameVerdict, Process, Queue, Run
from tianyu.schema.transitions.claim import Claim, claim_next
from tianyu.schema.transitions.finish import Usage, succeed

MASTERS = ("master_bias", "master_dark", "master_flat")
TO_FLUXES = (
    "choose_reference", "calibrate_align", "select_frames", "stack_frames", "solve_field",
    "detect_sources", "match_catalogue", "fixed_pattern", "extract_flux", "adopt_template",
    "measure_frames",
)  # fmt: skip
"""Up to rows of fluxes, which is where the opponents end; what follows is counted apart."""
PER_FRAME = ("calibrate_align", "extract_flux", "measure_frames", "stack_frames")
"""Steps whose cost grows with the night; the others are paid once."""


@dataclass
class StepCost:
    """One step over all its processes: the step itself, and the commit of its products."""

    step: str
    processes: int = 0
    work: Cost = field(default_factory=Cost)
    commit: Cost = field(default_factory=Cost)
    stated_read: int = 0
    stated_written: int = 0


@dataclass
class ChainCost:
    """A reduction of one folder."""

    n_frames: int
    raw_bytes: int
    recipe: str
    registration: Cost
    steps: list[StepCost]
    n_flux_rows: int
    n_sources: int
    misjudged_fraction: float

    def cost(self, *, commits: bool, frames: int | None = None) -> Cost:
        """Return what it took from raw frames to rows of fluxes, masters apart.

        Parameters
        ----------
        commits : bool
            With the commits of the products.
        frames : int, optional
            Of a night of so many frames: the steps that grow with it are scaled, by computing.
        """
        total = Cost()
        for step in self.steps:
            if step.step not in TO_FLUXES:
                continue
            grows = frames is not None and step.step in PER_FRAME
            scale = frames / self.n_frames if grows and frames else 1.0
            total.add(step.work.times(scale))
            if commits:
                total.add(step.commit.times(scale))
        return total


Around = Callable[[Claim], AbstractContextManager[object]]
"""Entered around the work of each step, for those who want to look at it."""


def reduce_folders(
    folders: list[Path],
    out: Path,
    url: str | None = None,
    chunk_frames: int = 64,
    around: Around = nullcontext,
) -> list[ChainCost]:
    """Reduce folders one after the other into one database; return what each has cost."""
    out.mkdir(parents=True, exist_ok=True)
    database = Database(url or sqlite_url(out / "tianyu.sqlite"))
    try:
        upgrade(database)
        site_id = database.retry(lambda c: ensure_site(c, "local", out, 600.0))
        options = PublishOptions(chunk_frames=chunk_frames)
        return [
            _reduce(database, RegisterRequest([f], site_id, out, options=options), f, around)
            for f in folders
        ]
    finally:
        database.dispose()


def _reduce(
    database: Database, request: RegisterRequest, folder: Path, around: Around
) -> ChainCost:
    with metered() as registration:
        observations = register(database, request).observations
    light = next(o for o in observations if o.kind == "light")
    if light.run is None:
        raise RuntimeError(f"nothing was published for {folder}")
    manager = Manager(database, EmbeddedBroker(database))
    with database.read() as connection:
        queue_ids = list(connection.scalars(select(Queue.id)))
    steps: dict[str, StepCost] = {}
    while True:
        claim = database.retry(lambda c: claim_next(c, queue_ids, "benchmark", 3600.0))
        if claim is not None:
            cost = steps.setdefault(claim.command, StepCost(claim.command))
            _run(database, request, claim, cost, around)
        elif not manager.poll():
            break
    _require_success(database)
    return ChainCost(
        n_frames=light.n_frames,
        raw_bytes=sum(path.stat().st_size for path in folder.glob("light_*.fits")),
        registration=registration,
        steps=list(steps.values()),
        **_results(database, light.run.run_id),
    )


def _run(
    database: Database, request: RegisterRequest, claim: Claim, cost: StepCost, around: Around
) -> None:
    context = StepContext(
        database, claim.process_id, claim.run_id, claim.command, claim.attempt,
        request.site_id, request.root,
    )  # fmt: skip
    parameters = validate(claim.command, claim.parameters)  # imports the step, not counted
    with metered() as work, around(claim):
        products = find_step(claim.command).run(parameters, context)
    with metered() as commit, database.write() as connection:
        products.write(connection)
        succeed(connection, claim.process_id, claim.token, Usage())
    cost.processes += 1
    cost.work.add(work)
    cost.commit.add(commit)
    cost.stated_read += context.traffic.read
    cost.stated_written += context.traffic.written


def _require_success(database: Database) -> None:
    with database.read() as connection:
        states = set(connection.scalars(select(Process.state).distinct()))
    if states != {State.SUCCEEDED.value}:
        raise RuntimeError(f"the chain ended with processes {', '.join(sorted(states))}")


def _results(database: Database, run_id: int) -> dict[str, Any]:
    of_run = Flux.run_id == run_id
    with database.read() as connection:
        recipe = connection.scalar(select(Run.recipe).where(Run.id == run_id))
        n_rows = connection.scalar(select(func.count()).select_from(Flux).where(of_run))
        n_sources = connection.scalar(select(func.count(Flux.source_id.distinct())).where(of_run))
        bad = connection.scalar(
            select(func.count()).where(
                FrameVerdict.run_id == run_id, FrameVerdict.is_good.is_(False)
            )
        )
        n_frames = connection.scalar(select(func.count()).where(FrameVerdict.run_id == run_id))
    return {
        "recipe": recipe,
        "n_flux_rows": n_rows,
        "n_sources": n_sources,
        "misjudged_fraction": (bad or 0) / max(n_frames or 0, 1),
    }
