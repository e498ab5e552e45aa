"""Where a child was when it was killed or crashed.

A segmentation fault or a signal leaves no Python traceback; ``faulthandler`` writes one to a
file that the consumer reads into the error text of the process.
"""

import faulthandler
import signal
from io import FileIO
from pathlib import Path

LONGEST_BYTES = 8000


def keep_last_words(path: Path) -> None:
    """Let the calling process write its traceback to a file when it dies by a signal."""
    try:
        file = FileIO(path, "w")
    except OSError:  # without a place to write it the step runs none the less
        return
    faulthandler.enable(file, all_threads=False)
    if hasattr(faulthandler, "register"):  # Windows has no such signals
        faulthandler.register(signal.SIGTERM, file, all_threads=False, chain=True)


def take_last_words(path: Path) -> str:
    """Return what was written, possibly nothing, and remove the file."""
    try:
        words = path.read_bytes()[:LONGEST_BYTES].decode("utf-8", "replace")
        path.unlink()
    except OSError:  # it died before it could open it, or its disk is full
        return ""
    return words.strip()
