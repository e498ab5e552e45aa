"""What an attempt cost: processor time and memory, on every platform."""

import importlib
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
    """Return user plus system time of this process so far, seconds."""
    return time.process_time()


def peak_memory_bytes() -> int:
    """Return the largest resident size of this process so far, bytes."""
    if _resource is None:
        info = psutil.Process().memory_info()
        return int(getattr(info, "peak_wset", info.rss))
    peak = int(_resource.getrusage(_resource.RUSAGE_SELF).ru_maxrss)
    return peak if sys.platform == "darwin" else peak * 1024
