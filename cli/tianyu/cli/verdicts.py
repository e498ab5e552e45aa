"""Overruling the tests of frames: store what was said, publish, work off where that is ours."""

import getpass
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from sqlalchemy import Connection, select

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.errors import WorkFailedError
from tianyu.cli.nightrun import available_cores, work_off
from tianyu.cli.queries.runs import read_run
from tianyu.cli.reducedfolder import SITE
from tianyu.cli.words import plural
from tianyu.pipelines.current import make_current
from tianyu.publisher.publishing import PublishedRun, publish_again
from tianyu.publisher.recipes import LIVE
from tianyu.publisher.verdicts import Saying, Word, record
from tianyu.schema.database import Database
from tianyu.schema.directory import ensure_site
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.settings import load_settings
from tianyu.schema.states import State
from tianyu.schema.tables import Observation, Process, Queue, Reduction, Run, Site


@dataclass(frozen=True)
class VerdictRequest:
    """What ``tianyu frames`` was asked to change.

    Attributes
    ----------
    database : str or None
        URL; None: the setting.
    run : int
        The run that is to be repeated with other verdicts.
    sayings : tuple of Saying
    workers : int or None
        Processes at a time; None: as many as there are cores.
    out : Path or None
        Folder of an embedded reduction, which may have been moved.
    """

    database: str | None
    run: int
    sayings: tuple[Saying, ...]
    workers: int | None = None
    out: Path | None = None


@dataclass(frozen=True)
class VerdictAnswer:
    """What came of it; ``is_current`` tells whether the light curves show it already."""

    run: int
    was: int
    is_new: bool
    n_changed: int
    n_processes: int
    n_reused: int
    reused_run: int | None
    is_current: bool


def sayings_of(
    more: Sequence[str],
    *,
    reject: Sequence[str] | None,
    accept: Sequence[str] | None,
    reset: Sequence[str] | None,
    reason: str | None,
) -> tuple[Saying, ...]:
    """Read the options: ``--reject A B`` is ``--reject A --reject B``.

    Raises
    ------
    ConfigurationError
        If it is not clear what further frames are meant for, or a reason has no verdict.
    """
    given = [
        (word, list(frames))
        for word, frames in ((Word.REJECT, reject), (Word.ACCEPT, accept), (Word.RESET, reset))
        if frames
    ]
    if more and len(given) != 1:
        raise ConfigurationError(
            f"what is to become of {more[0]!r}? Put --reject, --accept or --reset before each frame"
        )
    if reason is not None and not given:
        raise ConfigurationError("--reason is kept with a verdict: add --reject or --accept")
    return tuple(Saying(word, (*frames, *more), reason) for word, frames in given)


def change_verdicts(request: VerdictRequest, *, as_json: bool) -> None:
    """Store verdicts and publish the run that follows; an embedded one is worked off at once.

    Raises
    ------
    ConfigurationError
        If the run has no frames to judge.
    WorkFailedError
        If processes of the new run fail.
    """
    with open_database(request.database) as opened:
        with opened.read() as connection:
            observation_id = _observation_of(connection, request.run)
        n_changed = opened.retry(lambda c: record(c, observation_id, request.sayings, _person()))
        if _is_open(opened, request.run):
            _say_later(request, n_changed, as_json=as_json)
            return
        published = publish_again(opened, request.run)
        if opened.is_embedded:
            _work_off(opened, request, published.run_id)
        is_current = opened.retry(lambda c: _show(c, observation_id, published))
        with opened.read() as connection:
            failed = read_run(connection, published.run_id).processes.get(State.FAILED.value, 0)
    answer = VerdictAnswer(
        run=published.run_id,
        was=request.run,
        is_new=published.is_new,
        n_changed=n_changed,
        n_processes=published.n_processes,
        n_reused=published.n_reused,
        reused_run=published.reused_run,
        is_current=is_current,
    )
    if as_json:
        print_json(answer)
    else:
        for line in _lines(answer):
            typer.echo(line)
    if failed:
        raise WorkFailedError(
            f"{plural(failed, 'process', 'processes')} of run {published.run_id} failed; see "
            f"`tianyu status {published.run_id}`"
        )


def _observation_of(connection: Connection, run: int) -> int:
    query = (
        select(Observation.id, Observation.kind)
        .join(Reduction, Reduction.observation_id == Observation.id)
        .where(Reduction.run_id == run)
    )
    row = connection.execute(query).one_or_none()
    if row is None or row.kind != "light":
        raise ConfigurationError(
            f"run {run} judges no light frames; name the night by --observation or --run"
        )
    return int(row.id)


def _is_open(database: Database, run: int) -> bool:
    with database.read() as connection:
        return connection.scalar(select(Run.recipe).where(Run.id == run)) == LIVE.name


def _say_later(request: VerdictRequest, n_changed: int, *, as_json: bool) -> None:
    """Say that an open night takes note of verdicts, and follows them when it is closed."""
    if as_json:
        print_json({"run": request.run, "n_changed": n_changed, "is_open": True})
        return
    typer.echo(
        f"{plural(n_changed, 'verdict')} changed; the night is open, and they count in its "
        "reduction: `tianyu observation close`"
    )


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        # A container may run under a number that has no name; on Windows there is none at all.
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def _work_off(database: Database, request: VerdictRequest, run_id: int) -> None:
    settings = load_settings()
    if request.out is not None:
        out = request.out
        database.retry(lambda c: ensure_site(c, SITE, out, settings.lease_s))
    with database.read() as connection:
        site = connection.execute(
            select(Site.name)
            .join(Queue, Queue.site_id == Site.id)
            .join(Process, Process.queue_id == Queue.id)
            .where(Process.run_id == run_id)
            .limit(1)
        ).scalar_one()
    work_off(
        database,
        [run_id],
        settings=settings,
        site=site,
        workers=request.workers or available_cores(),
        console=Console(stderr=True, highlight=False),
    )


def _show(connection: Connection, observation_id: int, published: PublishedRun) -> bool:
    """Let an earlier run with these verdicts be shown again; tell whether the run is shown."""
    query = select(Process.state).where(
        Process.run_id == published.run_id, Process.command == "relative_photometry"
    )
    if not published.is_new and connection.scalar(query) == State.SUCCEEDED.value:
        make_current(connection, published.run_id)
    shown = select(Observation.current_run_id).where(Observation.id == observation_id)
    return connection.scalar(shown) == published.run_id


def _lines(answer: VerdictAnswer) -> list[str]:
    changed = plural(answer.n_changed, "verdict")
    if not answer.is_new:
        shown = ", and is the current one" if answer.is_current else ""
        return [f"{changed} changed; run {answer.run} has these verdicts already{shown}"]
    lines = [
        f"{changed} changed; run {answer.run} beside run {answer.was}: "
        f"{plural(answer.n_processes, 'process', 'processes')}, {answer.n_reused} not repeated"
        + (f" (of run {answer.reused_run})" if answer.reused_run is not None else "")
    ]
    if answer.is_current:
        lines.append(
            f"run {answer.run} is the current one now; `tianyu run use {answer.was}` goes back"
        )
    else:
        lines.append(f"it becomes the current one when it ends: `tianyu status {answer.run}`")
    return lines
