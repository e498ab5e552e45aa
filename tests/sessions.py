"""Signals to a program and everything it has started."""

import contextlib
import os
import signal

import psutil


def signal_session(leader: int, number: signal.Signals) -> None:
    """Send a signal to every process of a session.

    Children of consumers lead process groups of their own, but they stay in the session of the
    program that was started with ``start_new_session``; they are found there even when it is dead.
    """
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getsid(pid) == leader:
                os.kill(pid, number)
