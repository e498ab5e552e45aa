"""Reducing a night on this machine: register, publish, work off, sum up."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress
from sqlalchemy import func, select

from tianyu.cli.connect import explaining
from tianyu.cli.nightrun import work_off
from tianyu.cli.reducedfolder import DATABASE_FILE, SITE
from tianyu.cli.words import plural
from tianyu.pipelines.run_notes import MISSING_TARGETS
from tianyu.publisher.positions import Position
from tianyu.publisher.publishing import PublishOptions
from tianyu.publisher.registering import (
    RegisterRequest,
    Registration,
    TargetRequest,
    register,
)
from tianyu.publisher.renewing import publish_around_failures
from tianyu.publisher.survey import InstrumentFacts
from tianyu.schema import migrate
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import ensure_site
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.settings import load_settings
from tianyu.schema.states import State
from tianyu.schema.tables import (
    Frame,
    FrameVerdict,
    Image,
    ImageCopy,
    Process,
    Reduction,
    SourcePhotometry,
)


@dataclass(frozen=True)
class ReduceRequest:
    """What ``tianyu reduce`` was asked for."""

    paths: tuple[Path, ...]
    out: Path
    target: TargetRequest | None
    facts: InstrumentFacts
    options: PublishOptions
    workers: int
    database_url: str | None = None
    positions: tuple[Position, ...] = ()
    observation: str | None = None


@dataclass(frozen=True)
class ReduceResult:
    """What became of it."""

    database: str
    folder: str
    registration: Registration
    summaries: tuple[dict[str, Any], ...]
    is_complete: bool
    failures: tuple[str, ...]

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """What was asked for and has not come of it, in words."""
        found = []
        if self.failures:
            found.append(
                f"{plural(len(self.failures), 'process', 'processes')} failed; see `tianyu status "
                f"--database {self.database}`"
            )
        found += [text for summary in self.summaries for text in summary["missing_targets"]]
        has_light = any(o.kind == "light" for o in self.registration.observations)
        if self.registration.rejected and not has_light:
            found.append(
                f"no light frame can be used, and {plural(len(self.registration.rejected), 'file')}"
                " cannot; what was made of the others is kept"
            )
        return tuple(found)


def reduce_night(request: ReduceRequest, console: Console) -> ReduceResult:
    """Register, publish and work off; what was done before is not done again.

    Raises
    ------
    ConfigurationError
        If the folder or the database cannot be used, or no frame is usable.
    """
    make_folder(request.out)
    database = Database(request.database_url or sqlite_url(request.out / DATABASE_FILE))
    try:
        with explaining(database, opening=True):
            migrate.upgrade(database)
        with explaining(database):
            return _reduce(database, request, console)
    finally:
        database.dispose()


def make_folder(folder: Path) -> None:
    """Make the output folder.

    Raises
    ------
    ConfigurationError
        If it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the output folder {folder} cannot be made: {error.strerror}; give another --out, or "
            "mend its rights"
        ) from error


def _reduce(database: Database, request: ReduceRequest, console: Console) -> ReduceResult:
    settings = load_settings()
    site_id = database.retry(lambda c: ensure_site(c, SITE, request.out, settings.lease_s))
    registration = _register(database, request, site_id, console)
    return work_off_registration(
        database,
        registration,
        site_id=site_id,
        out=request.out,
        options=request.options,
        workers=request.workers,
        console=console,
    )


def work_off_registration(
    database: Database,
    registration: Registration,
    *,
    site_id: int,
    out: Path,
    options: PublishOptions,
    workers: int,
    console: Console,
) -> ReduceResult:
    """Work off what was published on this machine, also around masters that fail, and sum it up."""
    settings = load_settings()
    run_ids = _run_ids(registration)
    published = list(run_ids)
    while True:
        is_complete = work_off(
            database,
            run_ids,
            settings=settings,
            site=SITE,
            workers=workers,
            console=console,
        )
        renewed = publish_around_failures(database, registration, site_id, options)
        if not is_complete or renewed == registration:
            break
        # What a failed master kept from starting is done without it; the failure is still told.
        registration = renewed
        run_ids = _run_ids(registration)
        published += [run_id for run_id in run_ids if run_id not in published]
    return ReduceResult(
        database=str(database),
        folder=str(out),
        registration=registration,
        summaries=tuple(_summary(database, run_id) for run_id in run_ids),
        is_complete=is_complete,
        failures=_failures(database, published),
    )


def _run_ids(registration: Registration) -> list[int]:
    return [o.run.run_id for o in registration.observations if o.run is not None]


def _register(
    database: Database, request: ReduceRequest, site_id: int, console: Console
) -> Registration:
    with Progress(console=console, transient=True) as progress:
        tasks = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done, total=total)

        return register(
            database,
            RegisterRequest(
                paths=request.paths,
                site_id=site_id,
                root=request.out,
                observation=request.observation,
                target=request.target,
                positions=request.positions,
                facts=request.facts,
                options=request.options,
            ),
            show,
        )


def _summary(database: Database, run_id: int) -> dict[str, Any]:
    good = FrameVerdict.is_good
    with database.read() as connection:
        reasons = connection.execute(
            select(Image.name, FrameVerdict.reason)
            .join(Image, Image.id == FrameVerdict.image_id)
            .where(FrameVerdict.run_id == run_id, good.is_(False))
            .order_by(Image.utc_start, Image.id)
        ).all()
        n_good = connection.scalar(
            select(func.count()).where(FrameVerdict.run_id == run_id, good.is_(True))
        )
        n_frames = connection.scalar(select(func.count()).where(Frame.run_id == run_id))
        n_curves = connection.scalar(
            select(func.count()).where(
                SourcePhotometry.run_id == run_id, SourcePhotometry.n_epochs > 0
            )
        )
        notes = connection.scalar(select(Reduction.notes).where(Reduction.run_id == run_id)) or {}
        products = connection.execute(
            select(Image.kind, ImageCopy.path)
            .join(ImageCopy, ImageCopy.image_id == Image.id)
            .where(Image.run_id == run_id, Image.kind.in_(_SHOWN_PRODUCTS))
        ).all()
    return {
        "run_id": run_id,
        "n_frames": n_frames,
        "n_good": n_good,
        "n_light_curves": n_curves,
        "missing_targets": notes.pop(MISSING_TARGETS, []),
        "rejected": [{"frame": name, "reason": reason} for name, reason in reasons],
        "notes": _lines(notes),
        "products": {row.kind: row.path for row in products},
    }


_TOLD_WHEN_PUBLISHED = frozenset({"masters", "template", "reused"})


def _lines(notes: Mapping[str, Any]) -> list[str]:
    """Return what steps had to say; what was known when the run was published is no news."""
    said = [note for subject, note in sorted(notes.items()) if subject not in _TOLD_WHEN_PUBLISHED]
    return [str(line) for note in said for line in ([note] if isinstance(note, str) else note)]


_SHOWN_PRODUCTS = (
    "master_bias", "master_dark", "master_flat", "template", "scatter_figure", "growth_figure",
)  # fmt: skip


def _failures(database: Database, run_ids: list[int]) -> tuple[str, ...]:
    query = (
        select(Process.id, Process.command, Process.error_text)
        .where(Process.run_id.in_(run_ids), Process.state == State.FAILED.value)
        .order_by(Process.id)
    )
    with database.read() as connection:
        return tuple(
            f"{row.command} (process {row.id}): {_last_line(row.error_text)}"
            for row in connection.execute(query)
        )


def _last_line(text: str | None) -> str:
    lines = (text or "no reason was recorded").strip().splitlines()
    return lines[-1]
