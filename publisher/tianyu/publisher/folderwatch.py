"""What happens in a folder: the system's notices where there are any, else looking again and again.

A notice may be lost, so the folder is listed from time to time all the same.
"""

import queue
import time
from collections.abc import Sequence
from pathlib import Path

from watchdog.events import (
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.observers.polling import PollingObserver

from tianyu.publisher.scanning import find_files
from tianyu.publisher.settling import Settling
from tianyu.schema.errors import ConfigurationError

RELIST_S = 10.0
"""How often a folder is listed beside its notices."""

POLL_S = 1.0
"""How often a folder without notices is looked at."""


class FolderWatch:
    """Tells :class:`~tianyu.publisher.settling.Settling` what files a folder holds.

    Parameters
    ----------
    folder : Path
        Its sub-folders are watched too.
    settling : Settling
    leave_out : sequence of Path
        Folders not to be looked into, such as our own products.
    is_polling : bool
        Look again and again: network drives give no notice of what other machines write.

    Raises
    ------
    ConfigurationError
        If the folder cannot be watched.
    """

    def __init__(
        self,
        folder: Path,
        settling: Settling,
        *,
        leave_out: Sequence[Path] = (),
        is_polling: bool = False,
    ) -> None:
        if not folder.is_dir():
            raise ConfigurationError(
                f"{folder} is no folder that could be watched; make it, or check the spelling"
            )
        self._folder, self._settling = folder, settling
        self._leave_out = [path.resolve() for path in leave_out]
        self._notices: queue.SimpleQueue[tuple[Path, bool]] = queue.SimpleQueue()
        self._observer: BaseObserver = PollingObserver(timeout=POLL_S) if is_polling else Observer()
        self._listed_at: float | None = None

    def start(self) -> None:
        """Begin to listen.

        Raises
        ------
        ConfigurationError
            If the system gives no notices of this folder.
        """
        try:
            self._observer.schedule(_Notices(self._notices), str(self._folder), recursive=True)
            self._observer.start()
        except OSError as error:
            raise ConfigurationError(
                f"the system gives no notices of {self._folder} ({error.strerror or error}); add "
                "--poll"
            ) from error

    def stop(self) -> None:
        """Listen no more."""
        self._observer.stop()
        if self._observer.is_alive():
            self._observer.join()

    def look(self) -> None:
        """Pass on what has happened since the last call."""
        while not self._notices.empty():
            path, is_renamed = self._notices.get()
            if path.is_dir():
                self._listed_at = None
            elif not self._is_left_out(path):
                self._settling.see(path, is_renamed=is_renamed)
        now = time.monotonic()
        if self._listed_at is None or now - self._listed_at >= RELIST_S:
            self._listed_at = now
            for path in find_files([self._folder], leave_out=self._leave_out)[0]:
                self._settling.see(path)

    def _is_left_out(self, path: Path) -> bool:
        lies_in = path.parent.resolve()
        return any(
            lies_in.is_relative_to(shut)
            for shut in self._leave_out
            if not self._folder.resolve().is_relative_to(shut)
        )


class _Notices(FileSystemEventHandler):
    """Puts what was written and what was renamed into a queue; runs in watchdog's thread."""

    def __init__(self, notices: "queue.SimpleQueue[tuple[Path, bool]]") -> None:
        self._notices = notices

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Take a notice."""
        if isinstance(event, FileMovedEvent | DirMovedEvent):
            self._notices.put((Path(str(event.dest_path)), isinstance(event, FileMovedEvent)))
        elif isinstance(event, FileCreatedEvent | FileModifiedEvent | FileClosedEvent):
            self._notices.put((Path(str(event.src_path)), False))
