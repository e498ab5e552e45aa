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


def cpu_seconds_of(os_pid: int | None) -> float | None:
    """Return what :func:`cpu_seconds` would say in another process; None if it is gone.

    A dead process is not gone until its parent has waited for it, at least on Linux.
    """
    try:
        times = psutil.Process(os_pid).cpu_times()
    except psutil.Error:
        return None
    ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return float(times.user + times.system + ended)


def resident_bytes(os_pid: int, *, with_family: bool = True) -> int:
    """Return the memory that a process and its subprocesses hold now; 0 if it is gone.

    Pages that they share are counted once per process: the limit errs on the safe side.
    """
    try:
        process = psutil.Process(os_pid)
        family = [process, *(process.children(recursive=True) if with_family else [])]
    except psutil.NoSuchProcess:
        return 0
    return sum(_resident(member) for member in family)


def has_subprocesses(os_pid: int) -> bool:
    """Tell whether a process has living subprocesses."""
    try:
        found = psutil.Process(os_pid).children(recursive=True)
        return any(member.status() != psutil.STATUS_ZOMBIE for member in found)
    except psutil.NoSuchProcess:
        return False


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
