"""Process ids: milliseconds since 1970 followed by a six-digit random number.

Ids are handed out by publishers without asking the database; two publishers in the same
millisecond collide with a probability of one in a million per id, the primary key
notices, and the publisher draws again.
"""

import random
import threading
import time

IDS_PER_MS = 1_000_000


class PidFactory:
    """Draws ids that never repeat within one factory.

    Examples
    --------
    >>> ids = PidFactory().draw(1000)
    >>> len(set(ids)), ids == sorted(ids)
    (1000, True)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = 0
        self._random = random.SystemRandom()

    def draw(self, n: int) -> list[int]:
        """Return ``n`` new ids in ascending order.

        Ascending, because workers take processes of equal priority by id: a graph published in
        its natural order is worked through in that order.

        Raises
        ------
        ValueError
            If ``n`` is negative.
        """
        if n < 0:
            raise ValueError(f"cannot draw {n} process ids; ask for zero or more")
        ids: list[int] = []
        with self._lock:
            while len(ids) < n:
                ms = max(time.time_ns() // 1_000_000, self._last_ms + 1)
                self._last_ms = ms
                share = min(n - len(ids), IDS_PER_MS)
                numbers = sorted(self._random.sample(range(IDS_PER_MS), share))
                ids.extend(ms * IDS_PER_MS + number for number in numbers)
        return ids


def to_text(pid: int) -> str:
    """Return an id as it stands in JSON: a string, since doubles hold only 53 bits."""
    return str(pid)


def from_text(text: str) -> int:
    """Read an id from JSON or from a person.

    Raises
    ------
    ValueError
        If the text is not a process id.
    """
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**63):
        raise ValueError(f"{text!r} is not a process id; expected up to 19 digits")
    return int(text)
