"""Small nights to be spoilt, and the real commands on them, worked off in this process."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from sqlalchemy import select
from typer.testing import CliRunner

from tianyu.cli.main import app
from tianyu.consumer.execute import Executor
from tianyu.consumer.logs import EngineLog
from tianyu.consumer.messages import Succeeded, Workplace
from tianyu.consumer.pool import Ended
from tianyu.consumer.reports import Reporter
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.directory import find_site
from tianyu.schema.tables import Queue
from tianyu.schema.transitions.blocking import reconcile
from tianyu.schema.transitions.claim import claim_next


def work_off_here(database: Database, _run_ids: object, *, site: str, **_: object) -> bool:
    """Do what a consumer and a manager do, without the seconds that child processes cost."""
    import logging

    with database.read() as connection:
        site_id, root, lease_s = find_site(connection, site)
        queues = tuple(connection.scalars(select(Queue.id)))
    place = Workplace(database.text_url, site_id, root, "here", queues, lease_s, False)
    executor = Executor(database, place, lambda: False)
    reporter = Reporter(database, EngineLog(logging.getLogger("tianyu.test"), {}), 1, 0.0)
    while True:
        moved = database.retry(reconcile)
        claim = database.retry(lambda c: claim_next(c, queues, "here", lease_s))
        if claim is None and not moved:
            return True
        if claim is not None:
            report = executor.execute(claim)
            if not isinstance(report, Succeeded):
                reporter.record(Ended(claim, report))


@dataclass(frozen=True)
class Answer:
    """What a command printed, how it ended, and the database that it left."""

    text: str
    code: int
    out: Path

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        database = Database(sqlite_url(self.out / "tianyu.sqlite"))
        try:
            with database.read() as connection:
                return [tuple(row) for row in connection.exec_driver_sql(query)]
        finally:
            database.dispose()

    def line(self, *words: str) -> str:
        """Return the one line that has all the words."""
        found = [line for line in self.text.splitlines() if all(word in line for word in words)]
        assert len(found) == 1, f"{len(found)} lines with {words} in\n{self.text}"
        return found[0]

    def good_frames(self) -> set[str]:
        """Return the names of the frames with points in a light curve."""
        return {
            row[0]
            for row in self.rows(
                "SELECT DISTINCT i.name FROM light_curve l JOIN image i ON i.id = l.image_id "
                "WHERE l.relative_flux IS NOT NULL AND l.frame_is_good = 1"
            )
        }


def run(*arguments: str | Path) -> Answer:
    """Run a command as a person would; everything printed, on both streams."""
    words = [str(argument) for argument in arguments]
    result = CliRunner().invoke(app, words, env={"COLUMNS": "300"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    out = Path(words[words.index("--out") + 1]) if "--out" in words else Path()
    return Answer(result.output, result.exit_code, out)


def spoil(
    path: Path, pixels: Callable[[np.ndarray], np.ndarray] | None = None, **cards: object
) -> None:
    """Change the pixels or cards of a frame; a card of None is removed."""
    data, header = fits.getdata(path), fits.getheader(path)
    for keyword, value in cards.items():
        name = keyword.replace("_", "-")
        header.remove(name, ignore_missing=True)
        if value is not None:
            header[name] = value
    for keyword in ("BZERO", "BSCALE"):
        header.remove(keyword, ignore_missing=True)
    # A link to a frame that other tests share must not be written through.
    path.unlink()
    fits.PrimaryHDU(data if pixels is None else pixels(data), header).writeto(path)


def cut_short(path: Path) -> None:
    """Keep the first half of a file."""
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])


def copy_of(night: Path, folder: Path, *, without: tuple[str, ...] = ()) -> Path:
    """Copy a night, but for the kinds of frames named."""
    folder.mkdir(parents=True)
    for path in sorted(night.glob("*.fits")):
        if not path.name.startswith(without or ("nothing",)):
            shutil.copy(path, folder)
    return folder


def facts(answer: Answer, query: str) -> Mapping[Any, Any]:
    """Return a query of two columns as a mapping."""
    return dict(answer.rows(query))  # type: ignore[arg-type]  # rows of two
