"""``tianyu run purge``: give back the disk that superseded runs still take.

A run needs its partial stacks, the stacks above them and its sky meshes only until it has
ended. Its template stays, since sources have their positions on it, and so do fluxes and
light curves.

Files go first and rows afterwards: a row says where its file lies, so that after an
interruption the same command finds what is left and ends the work. The other way round the
files would stay for ever, and nothing would name them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection, delete, func, select

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.cli.queries.runs import read_run
from tianyu.cli.queries.uses import uses_of
from tianyu.cli.words import plural, size
from tianyu.schema.database import Database
from tianyu.schema.directory import find_site
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.paths import resolve
from tianyu.schema.settings import load_settings
from tianyu.schema.states import TERMINAL, State
from tianyu.schema.tables import Image, ImageCopy, Observation, Process, SkyMesh, Stack
from tianyu.schema.transitions.batches import in_batches

INTERMEDIATE_KINDS = ("partial_stack", "stack")

_ENDED = sorted(state.value for state in TERMINAL | {State.BLOCKED})


@dataclass(frozen=True)
class IntermediateFile:
    """One file at this site; ``path`` is relative to the site's root."""

    image_id: int
    path: str
    size_bytes: int


@dataclass(frozen=True)
class Leftovers:
    """What one run has left behind."""

    run: int
    files: tuple[IntermediateFile, ...]
    n_elsewhere: int
    n_meshes: int

    @property
    def size_bytes(self) -> int:
        """Size of the files at this site."""
        return sum(file.size_bytes for file in self.files)


def purge_command(
    runs: Annotated[list[int], typer.Argument(metavar="RUN…", help="Numbers of the runs.")],
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and leave it.")
    ] = False,
    site: Annotated[
        str | None,
        typer.Option("--site", metavar="S", help="Whose files. Default: the setting site."),
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove intermediate stacks and sky meshes of runs that have ended and been superseded.

    Templates, fluxes and light curves stay. A run that failed cannot be rescued afterwards.

    Example: tianyu run purge 3 4 --dry-run
    """
    settings = load_settings(database_url=database, site=site)
    with open_database(database) as opened:
        with opened.read() as connection:
            site_id, root, _ = find_site(connection, settings.site)
            found = [find_leftovers(connection, run, site_id) for run in runs]
        if not dry_run:
            for leftovers in found:
                remove(opened, root, site_id, leftovers)
    if as_json:
        print_json({"dry_run": dry_run, "runs": found})
        return
    for leftovers in found:
        _show(leftovers, dry_run=dry_run)


def find_leftovers(connection: Connection, run_id: int, site_id: int) -> Leftovers:
    """Return what may be removed of a run.

    Raises
    ------
    NotFoundError
        If there is no such run.
    ConfigurationError
        If it has not ended, its light curves are the current ones of an observation, or another
        run still needs what it has left.
    """
    _refuse_needed(connection, run_id)
    copies = connection.execute(
        select(ImageCopy.image_id, ImageCopy.site_id, ImageCopy.path, ImageCopy.size_bytes)
        .join(Image, Image.id == ImageCopy.image_id)
        .join(Stack, Stack.image_id == Image.id)
        .where(Stack.run_id == run_id, Image.kind.in_(INTERMEDIATE_KINDS))
        .order_by(ImageCopy.image_id)
    ).all()
    meshes = select(func.count()).select_from(SkyMesh).where(SkyMesh.run_id == run_id)
    here = [copy for copy in copies if copy.site_id == site_id]
    return Leftovers(
        run=run_id,
        files=tuple(IntermediateFile(c.image_id, c.path, c.size_bytes) for c in here),
        n_elsewhere=len(copies) - len(here),
        n_meshes=int(connection.scalar(meshes) or 0),
    )


def _refuse_needed(connection: Connection, run_id: int) -> None:
    read_run(connection, run_id)
    unfinished = select(func.count()).where(Process.run_id == run_id, Process.state.not_in(_ENDED))
    if n_open := connection.scalar(unfinished):
        raise ConfigurationError(
            f"run {run_id} still has {plural(n_open, 'process', 'processes')} to do; purge it "
            "when it has ended, or cancel it first"
        )
    shown = connection.scalar(
        select(Observation.name).where(Observation.current_run_id == run_id).limit(1)
    )
    for use in uses_of(connection, run_id):
        raise ConfigurationError(
            f"run {use.run} uses {plural(use.n_processes, 'process', 'processes')} of run {run_id} "
            f"and {use.why}; purge run {run_id} when run {use.run} has ended and been superseded"
        )
    if shown is not None:
        raise ConfigurationError(
            f"run {run_id} is the current one of observation {shown!r}; only runs that another "
            "one has superseded can be purged"
        )


def remove(database: Database, root: Path, site_id: int, leftovers: Leftovers) -> None:
    """Remove files, then rows; safe to interrupt and to repeat."""
    paths = {file.image_id: file.path for file in leftovers.files}
    for image_ids in in_batches(paths):
        with database.read() as connection:
            # Rescued, or made the current one, since it was looked at.
            _refuse_needed(connection, leftovers.run)
        for image_id in image_ids:
            resolve(root, paths[image_id]).unlink(missing_ok=True)
        database.retry(lambda c, ids=image_ids: _forget(c, site_id, ids))  # type: ignore[misc]  # mypy cannot infer a default
    run = SkyMesh.run_id == leftovers.run
    database.retry(lambda connection: connection.execute(delete(SkyMesh).where(run)))


def _forget(connection: Connection, site_id: int, image_ids: Sequence[int]) -> None:
    """Delete the copies of images at this site, and the images of which none is left."""
    here = (ImageCopy.site_id == site_id, ImageCopy.image_id.in_(image_ids))
    connection.execute(delete(ImageCopy).where(*here))
    copied = select(ImageCopy.image_id).where(ImageCopy.image_id.in_(image_ids))
    gone: Collection[int] = set(image_ids) - set(connection.scalars(copied))
    if gone:
        connection.execute(delete(Stack).where(Stack.image_id.in_(gone)))
        connection.execute(delete(Image).where(Image.id.in_(gone)))


def _show(leftovers: Leftovers, *, dry_run: bool) -> None:
    if dry_run:
        for file in leftovers.files:
            typer.echo(file.path)
    typer.echo(
        f"run {leftovers.run}: {plural(len(leftovers.files), 'file')} of "
        f"{size(leftovers.size_bytes)} and {plural(leftovers.n_meshes, 'sky mesh', 'sky meshes')} "
        + ("would be removed" if dry_run else "removed")
    )
    if leftovers.n_elsewhere:
        typer.echo(
            f"run {leftovers.run}: {plural(leftovers.n_elsewhere, 'file')} at other sites; run "
            "this there, with --site"
        )
