"""What an attempt cost: processor time and memory, on every platform."""

import importlib
import os
import sys
import time
from types import ModuleType

import psutil


def _load_resource() -> ModuleType | None:
    try:
        return importlib.import_module("resource")
    except ImportError:  # Windows has none; psutil knows the peak there
        return None


_resource = _load_resource()


def cpu_seconds() -> float:
    """Return user plus system time so far, seconds, with that of ended subprocesses."""
    ended = os.times()
    return time.process_time() + ended.children_user + ended.children_system


def peak_memory_bytes() -> int:
    """Return the largest resident size of this process so far, bytes."""
    if _resource is None:
        info = psutil.Process().memory_info()
        return int(getattr(info, "peak_wset", info.rss))
    peak = int(_resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss)
    return peak if sys.platform == "darwin" else peak * 1024


def resident_bytes(os_pid: int) -> int:
    """Return the memory that a process and its subprocesses hold now; 0 if it is gone.

    Pages that they share are counted once per process: the limit errs on the safe side.
    """
    try:
        process = psutil.Process(os_pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(_resident(member) for member in family)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
