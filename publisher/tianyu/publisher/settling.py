"""When a file in a watched folder is whole, and when it is to be given up.

A writer tells nobody that it has finished. A file is taken when its size and time have not
changed for a while and it can be read to its declared end; one that was renamed into its place
was finished before, and is taken at once. A file that stays unreadable is named, and looked at
again as soon as it changes.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tianyu.pipelines.fits import is_fits_name
from tianyu.pipelines.fits.whole import missing_part

SETTLE_S = 0.5
"""Longer than any pause of a program that is writing one frame to a disk."""

PATIENCE_S = 30.0
"""A copy over a network may stand still for some time before it is given up."""

_TEMPORARY = ("~", "#", "_tmp", "tmp_")
_UNFINISHED = (".part", ".tmp", ".temp", ".partial", ".filepart", ".crdownload")


@dataclass(frozen=True)
class WholeFile:
    """A file that is all there.

    Attributes
    ----------
    path : Path
    whole_at : float
        When its last byte was written as far as the disk tells, or when it was renamed; seconds
        since 1970.
    """

    path: Path
    whole_at: float


@dataclass(frozen=True)
class BrokenFile:
    """A file that cannot be read to its end, and has not changed for long."""

    path: Path
    reason: str


@dataclass(frozen=True)
class _Look:
    size: int
    mtime_ns: int


@dataclass
class _Candidate:
    look: _Look | None = None
    since: float = 0.0
    renamed_at: float | None = None
    is_broken: bool = False


def is_frame_name(path: Path) -> bool:
    """Tell whether a name is that of a frame, and not of one that is being written.

    Examples
    --------
    >>> names = ("a.fits", ".a.fits.Xy3k", "~a.fits", "tmp_a.fits", "a.part.fits", "a.fits.gz")
    >>> [is_frame_name(Path(name)) for name in names]
    [True, False, False, False, False, True]
    """
    name = path.name.lower()
    return (
        is_fits_name(path)
        and not name.startswith(_TEMPORARY)
        and not any(mark in name for mark in _UNFINISHED)
    )


class Settling:
    """Files that have been seen and not been taken yet.

    Parameters
    ----------
    settle_s : float
        For how long a file must not have changed, seconds.
    patience_s : float
        After which one that cannot be read is called broken, seconds.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        settle_s: float = SETTLE_S,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settle_s, self._patience_s, self._clock = settle_s, patience_s, clock
        self._candidates: dict[Path, _Candidate] = {}
        self._taken: dict[Path, _Look] = {}

    def __len__(self) -> int:
        """Return how many files are not whole yet."""
        return sum(not candidate.is_broken for candidate in self._candidates.values())

    def see(self, path: Path, *, is_renamed: bool = False) -> None:
        """Note that there is a file, or that it may have changed."""
        if not is_frame_name(path):
            return
        candidate = self._candidates.setdefault(path, _Candidate())
        if is_renamed:
            candidate.renamed_at = time.time()

    def put_back(self, files: Sequence[WholeFile]) -> None:
        """Take files again that could not be used for a reason that passes."""
        for file in files:
            self._taken.pop(file.path, None)
            self._candidates[file.path] = _Candidate(renamed_at=file.whole_at)

    def ready(self) -> tuple[list[WholeFile], list[BrokenFile]]:
        """Return the files that have become whole, and those given up, since the last call."""
        whole, broken = [], []
        for path, candidate in list(self._candidates.items()):
            look = _look(path)
            if look is None or self._taken.get(path) == look:
                # Gone, or taken as it is.
                del self._candidates[path]
                continue
            state = self._judge(path, candidate, look)
            if isinstance(state, WholeFile):
                self._taken[path] = look
                del self._candidates[path]
                whole.append(state)
            elif state is not None:
                candidate.is_broken = True
                broken.append(state)
        return whole, broken

    def _judge(
        self, path: Path, candidate: _Candidate, look: _Look
    ) -> WholeFile | BrokenFile | None:
        now = self._clock()
        if candidate.look != look:
            candidate.look, candidate.since, candidate.is_broken = look, now, False
            # What has not been touched for long needs no watching.
            age_s = time.time() - look.mtime_ns / 1e9
            candidate.since -= min(max(age_s, 0.0), self._settle_s)
        still_s = now - candidate.since
        if candidate.is_broken or (candidate.renamed_at is None and still_s < self._settle_s):
            return None
        try:
            missing = missing_part(path)
        except OSError as error:
            missing = f"{path.name} cannot be read: {error.strerror or error}"
        if missing is None:
            if _look(path) != look:
                return None
            return WholeFile(path, candidate.renamed_at or look.mtime_ns / 1e9)
        return BrokenFile(path, missing) if still_s >= self._patience_s else None


def _look(path: Path) -> _Look | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return _Look(status.st_size, status.st_mtime_ns)
