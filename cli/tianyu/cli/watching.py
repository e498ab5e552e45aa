"""Watching a folder until its night is closed, interrupted, or quiet for long."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rich.console import Console
from sqlalchemy.exc import DBAPIError

from tianyu.cli.findings import frame_text, say
from tianyu.cli.nightrun import handling_signals
from tianyu.cli.render.watch import WatchLine
from tianyu.publisher.folderwatch import FolderWatch
from tianyu.publisher.nightwatch import NightWatch
from tianyu.publisher.placing import own_folders
from tianyu.publisher.scanning import Rejected
from tianyu.publisher.settling import BrokenFile, Settling, WholeFile
from tianyu.schema import dialects

PAUSE_S = 0.1
"""Between two looks at what has come and what has been measured."""

AWAY_S = 2.0
"""Between two tries while the database does not answer."""

CLOSED_ELSEWHERE_S = 2.0
"""How often it is asked whether somebody else has closed the night."""


class Ending(StrEnum):
    """Why watching has ended."""

    INTERRUPTED = "interrupted"
    QUIET = "quiet"
    CLOSED = "closed"


@dataclass(frozen=True)
class WatchPlan:
    """How a folder is watched.

    Attributes
    ----------
    folder, root : Path
        What is watched; root of the site, whose own folders are left out.
    is_polling : bool
    settle_s : float
    close_after_s : float or None
        Time without a frame after which the night is over.
    """

    folder: Path
    root: Path
    is_polling: bool
    settle_s: float
    close_after_s: float | None


def watch_folder(
    plan: WatchPlan,
    night: NightWatch,
    console: Console,
    *,
    wake: Callable[[], None],
    check: Callable[[], None],
) -> Ending:
    """Take frames as they come until something ends it; return what did.

    Parameters
    ----------
    plan : WatchPlan
    night : NightWatch
    console : Console
    wake : callable
        Called when something was published.
    check : callable
        Raises if nothing can be measured any more.
    """
    settling = Settling(plan.settle_s)
    folder = FolderWatch(
        plan.folder, settling, leave_out=own_folders(plan.root), is_polling=plan.is_polling
    )
    interrupted = threading.Event()
    folder.start()
    line = WatchLine(console, night, settling)
    clock = _Clock(plan.close_after_s)
    try:
        with handling_signals(lambda _signal, _frame: interrupted.set()), line:
            while not interrupted.is_set():
                folder.look()
                whole, broken = settling.ready()
                night.refuse([Rejected(bad.path, bad.reason) for bad in broken])
                _name(console, broken)
                try:
                    _take(night, whole, console, wake)
                except DBAPIError as error:
                    if not (dialects.is_unreachable(error) or dialects.is_transient(error)):
                        raise
                    # What has come is on the disk, and the night is long.
                    settling.put_back(whole)
                    say(console, "waiting", f"the database is away: {error.orig}", "yellow")
                    interrupted.wait(AWAY_S)
                    continue
                line.show()
                check()
                if clock.is_over(night, has_news=bool(whole) or len(settling) > 0):
                    return Ending.QUIET
                if clock.is_time_to_ask() and night.is_closed():
                    return Ending.CLOSED
                interrupted.wait(0.0 if whole else PAUSE_S)
    finally:
        folder.stop()
    return Ending.INTERRUPTED


def _take(
    night: NightWatch, whole: Sequence[WholeFile], console: Console, wake: Callable[[], None]
) -> None:
    _name(console, night.take(whole))
    if night.advance():
        wake()


def _name(console: Console, files: Sequence[Rejected | BrokenFile]) -> None:
    for file in files:
        say(console, "not used", frame_text(file.path.name, file.reason), "yellow")


class _Clock:
    """Knows for how long nothing has come, and when somebody was asked last."""

    def __init__(self, close_after_s: float | None) -> None:
        self._close_after_s = close_after_s
        self._news_at = self._asked_at = time.monotonic()

    def is_over(self, night: NightWatch, *, has_news: bool) -> bool:
        """Tell whether the night has been quiet for long; one without frames never is."""
        now = time.monotonic()
        if has_news or not night.open:
            self._news_at = now
        return self._close_after_s is not None and now - self._news_at >= self._close_after_s

    def is_time_to_ask(self) -> bool:
        """Tell so once in a while."""
        now = time.monotonic()
        if now - self._asked_at < CLOSED_ELSEWHERE_S:
            return False
        self._asked_at = now
        return True
