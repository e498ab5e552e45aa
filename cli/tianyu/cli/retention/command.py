"""``tianyu purge``: remove what old runs and broken attempts have left, by policy."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.options import DatabaseOption, JsonOption
from tianyu.cli.purge import Leftovers, find_leftovers, remove
from tianyu.cli.queries.uses import uses_of
from tianyu.cli.retention.curves import count_rows, remove_rows
from tianyu.cli.retention.orphans import Orphan, find_orphans
from tianyu.cli.retention.policy import Policy, choose_runs
from tianyu.cli.words import duration, plural, size
from tianyu.consumer.scratch import remove_stale
from tianyu.schema.database import Database
from tianyu.schema.directory import find_site
from tianyu.schema.paths import resolve
from tianyu.schema.settings import load_settings

DAY_S = 86_400.0
HOUR_S = 3600.0


class Kind(StrEnum):
    """What can be removed of a run."""

    INTERMEDIATE = "intermediate"
    """Partial stacks, stacks above them, sky meshes: files and rows."""
    LIGHT_CURVES = "light-curves"
    """Fluxes and relative fluxes of superseded runs: never unless named."""
    ORPHANS = "orphans"
    """Files that no row names, of attempts that are over."""


DEFAULT_KINDS = (Kind.INTERMEDIATE, Kind.ORPHANS)


@dataclass(frozen=True)
class Needed:
    """A run that the policy gives up, and another run does not."""

    run: int
    why: str


@dataclass(frozen=True)
class Findings:
    """What the policy gives up at one site."""

    runs: Sequence[Leftovers]
    needed: Sequence[Needed]
    light_curve_rows: dict[int, dict[str, int]]
    orphans: Sequence[Orphan]


def purge_command(
    *,
    older_than: Annotated[
        float, typer.Option("--older-than", min=0, metavar="DAYS", help="Since a run ended.")
    ] = 30.0,
    keep_last: Annotated[
        int,
        typer.Option("--keep-last", min=0, metavar="N", help="Newest runs per observation."),
    ] = 1,
    kind: Annotated[
        list[Kind] | None,
        typer.Option("--kind", help="May be repeated. Default: intermediate and orphans."),
    ] = None,
    orphan_age: Annotated[
        float,
        typer.Option("--orphan-age", min=0, metavar="HOURS", help="Younger files are left alone."),
    ] = 24.0,
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
    """Remove what superseded runs needed only while they ran, and files of broken attempts.

    The current run of an observation is never touched, nor one that has not ended. Templates
    and masters stay, and what another run uses. Light curves of superseded runs go only with
    --kind light-curves. A run that failed cannot be rescued afterwards.

    Example: tianyu purge --older-than 60 --keep-last 2 --dry-run
    """
    settings = load_settings(database_url=database, site=site)
    kinds = frozenset(kind or DEFAULT_KINDS)
    policy = Policy(older_than * DAY_S, keep_last)
    with open_database(database) as opened:
        with opened.read() as connection:
            site_id, root, _ = find_site(connection, settings.site)
            found = _find(connection, kinds, policy, root, site_id, orphan_age * HOUR_S)
        if not dry_run:
            _remove(opened, root, site_id, found)
    scratch = remove_stale(dry_run=dry_run) if Kind.ORPHANS in kinds else []
    if as_json:
        answer = vars(found) | {"scratch": [str(path) for path in scratch]}
        print_json({"dry_run": dry_run, **answer})
    else:
        _show(found, scratch, dry_run=dry_run)


def _find(
    connection: Connection,
    kinds: Collection[Kind],
    policy: Policy,
    root: Path,
    site_id: int,
    orphan_age_s: float,
) -> Findings:
    chosen = choose_runs(connection, policy)
    uses = {run: uses_of(connection, run) for run in chosen}
    runs = [run for run in chosen if not uses[run]]
    wants_curves, wants_files = Kind.LIGHT_CURVES in kinds, Kind.INTERMEDIATE in kinds
    leftovers = [find_leftovers(connection, run, site_id) for run in runs if wants_files]
    rows = {run: count_rows(connection, run) for run in runs if wants_curves}
    return Findings(
        runs=[one for one in leftovers if one.files or one.n_meshes or one.n_elsewhere],
        needed=[
            Needed(run, f"run {use.run} uses {use.n_processes} of its processes and {use.why}")
            for run in chosen
            for use in uses[run][:1]
        ],
        light_curve_rows={run: counts for run, counts in rows.items() if any(counts.values())},
        orphans=(
            find_orphans(connection, root, site_id, orphan_age_s) if Kind.ORPHANS in kinds else ()
        ),
    )


def _remove(database: Database, root: Path, site_id: int, found: Findings) -> None:
    for leftovers in found.runs:
        remove(database, root, site_id, leftovers)
    for run in found.light_curve_rows:
        remove_rows(database, run)
    for orphan in found.orphans:
        if orphan.is_sure:
            resolve(root, orphan.path).unlink(missing_ok=True)


def _show(found: Findings, scratch: Sequence[Path], *, dry_run: bool) -> None:
    done = "would be removed" if dry_run else "removed"
    for one in found.runs:
        meshes = plural(one.n_meshes, "sky mesh", "sky meshes")
        files = f"{plural(len(one.files), 'file')} of {size(one.size_bytes)}"
        typer.echo(f"run {one.run}: {files} and {meshes} {done}")
        if one.n_elsewhere:
            elsewhere = plural(one.n_elsewhere, "file")
            typer.echo(f"run {one.run}: {elsewhere} at other sites; run this there, with --site")
    for use in found.needed:
        typer.echo(f"run {use.run} stays: {use.why}")
    for run, counts in found.light_curve_rows.items():
        rows = ", ".join(f"{number} of {table}" for table, number in counts.items())
        typer.echo(f"run {run}: light curves, rows {rows}, {done}")
    for orphan in found.orphans:
        fate = done if orphan.is_sure else "kept"
        age = duration(orphan.age_s)
        typer.echo(f"{orphan.path}: {size(orphan.size_bytes)}, {age} old, {fate}: {orphan.why}")
    for path in scratch:
        typer.echo(f"{path}: left by a killed consumer, {done}")
    if not (found.runs or found.needed or found.light_curve_rows or found.orphans or scratch):
        typer.echo("nothing to remove")
