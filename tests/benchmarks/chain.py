"""The project's own chain, from raw frames to committed rows, step by step in one process.

A second night of the same sky takes the one-pass recipe. Steps are run as a consumer's child runs
them, without the engine around them, whose cost is measured by itself.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import case, func, select
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
from tianyu.schema.tables import Flux, Frame, FrameVerdict, Process, Queue, Run
from tianyu.schema.transitions.claim import Claim, claim_next
from tianyu.schema.transitions.finish import Usage, succeed

RADII_FWHM = (1.0, 1.5, 2.0)
"""As many apertures as the opponents have; by default the chain measures six."""
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
    """Of the frames: what pass 1 stacked and the night did not want, or the contrary."""

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
    *,
    server_pid: int | None = None,
    around: Around = nullcontext,
) -> list[ChainCost]:
    """Reduce folders one after the other into one database; return what each has cost.

    Parameters
    ----------
    folders : list of Path
    out : Path
        For products, and the SQLite file.
    url : str, optional
        Of an empty database of a server.
    chunk_frames : int
    server_pid : int, optional
        Process of that server, whose processor time is counted beside.
    around : callable, optional
    """
    out.mkdir(parents=True, exist_ok=True)
    database = Database(url or sqlite_url(out / "tianyu.sqlite"))
    try:
        upgrade(database)
        site_id = database.retry(lambda c: ensure_site(c, "local", out, 600.0))
        worker = _Worker(database, site_id, out, server_pid, around)
        costs = []
        for folder in folders:
            # Later nights are measured as the first one was: a choice would be another template.
            steps = {} if costs else {"detect_sources": {"radii_fwhm": RADII_FWHM}}
            options = PublishOptions(chunk_frames=chunk_frames, steps=steps)
            request = RegisterRequest([folder], site_id, out, options=options)
            costs.append(worker.reduce(request, folder))
        return costs
    finally:
        database.dispose()


@dataclass(frozen=True)
class _Worker:
    """Claims and runs processes, one after the other."""

    database: Database
    site_id: int
    root: Path
    server_pid: int | None
    around: Around

    def reduce(self, request: RegisterRequest, folder: Path) -> ChainCost:
        """Register a folder and work everything off."""
        with metered(self.server_pid) as registration:
            observations = register(self.database, request).observations
        light = next(o for o in observations if o.kind == "light")
        if light.run is None:
            raise RuntimeError(f"nothing was published for {folder}")
        steps = self._work_off()
        _require_success(self.database)
        return ChainCost(
            n_frames=light.n_frames,
            raw_bytes=sum(path.stat().st_size for path in folder.glob("light_*.fits")),
            registration=registration,
            steps=steps,
            **_results(self.database, light.run.run_id),
        )

    def _work_off(self) -> list[StepCost]:
        manager = Manager(self.database, EmbeddedBroker(self.database))
        with self.database.read() as connection:
            queue_ids = list(connection.scalars(select(Queue.id)))
        steps: dict[str, StepCost] = {}
        while True:
            claim = self.database.retry(lambda c: claim_next(c, queue_ids, "benchmark", 3600.0))
            if claim is not None:
                self._run(claim, steps.setdefault(claim.command, StepCost(claim.command)))
            elif not manager.poll():
                return list(steps.values())

    def _run(self, claim: Claim, cost: StepCost) -> None:
        context = StepContext(
            self.database, claim.process_id, claim.run_id, claim.command, claim.attempt,
            self.site_id, self.root,
        )  # fmt: skip
        parameters = validate(claim.command, claim.parameters)  # imports the step, not counted
        with metered(self.server_pid) as work, self.around(claim):
            products = find_step(claim.command).run(parameters, context)
        with metered(self.server_pid) as commit, self.database.write() as connection:
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
        good = FrameVerdict.is_good
        misjudged, n_frames = connection.execute(
            select(func.sum(case((Frame.is_stacked != good, 1), else_=0)), func.count())
            .select_from(FrameVerdict)
            .join(Frame, (Frame.run_id == run_id) & (Frame.image_id == FrameVerdict.image_id))
            .where(FrameVerdict.run_id == run_id)
        ).one()
    return {
        "recipe": recipe,
        "n_flux_rows": n_rows,
        "n_sources": n_sources,
        "misjudged_fraction": int(misjudged) / n_frames,
    }
