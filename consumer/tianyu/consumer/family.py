"""A child process and everything it starts, as one thing that can be ended.

On POSIX a child leads a process group of its own: its subprocesses are found even after it
died, and Ctrl-C in a terminal reaches only the consumer, which alone decides what ends.
Elsewhere only the child itself is ended.
"""

import contextlib
import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

_HAS_GROUPS = hasattr(os, "killpg")


def lead_family() -> None:
    """Make the calling process the leader of a group, and end the group with its parent."""
    if _HAS_GROUPS:
        os.setpgid(0, 0)
    threading.Thread(target=_end_with_parent, name="tianyu-orphan-watch", daemon=True).start()


def ask_to_end(child: BaseProcess) -> None:
    """Send SIGTERM to a child and its subprocesses."""
    if not (_HAS_GROUPS and _signal_group(child.pid, signal.SIGTERM)):
        child.terminate()


def end(child: BaseProcess) -> None:
    """Kill a child and its subprocesses; also what a dead child left behind."""
    if not (_HAS_GROUPS and _signal_group(child.pid, signal.SIGKILL)):
        child.kill()


def _signal_group(group: int | None, number: signal.Signals) -> bool:
    if group is None:
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        # PermissionError is what some systems say of a group of zombies.
        os.killpg(group, number)
        return True
    return False


def _end_with_parent() -> None:
    """End this process once its parent is gone: nobody would extend its lease or limit it."""
    parent = parent_process()
    if parent is None:
        return
    wait([parent.sentinel])
    if _HAS_GROUPS:
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
