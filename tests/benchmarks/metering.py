"""What a piece of work costs this process: time, processor time, bytes through the kernel."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import psutil

P = ParamSpec("P")
Answer = TypeVar("Answer")

BUFFER_BYTES = 1 << 24


@dataclass
class Cost:
    """Time, s, and bytes.

    ``bytes_read`` and ``bytes_written`` count what went through read and write calls, whether
    the page cache or a disk answered; sockets of Python's standard library do not count.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    bytes_read: int = 0
    bytes_written: int = 0
    server_cpu_s: float = 0.0
    """Processor time of the database server meanwhile, s."""

    def add(self, other: "Cost") -> None:
        """Sum up."""
        self.wall_s += other.wall_s
        self.cpu_s += other.cpu_s
        self.bytes_read += other.bytes_read
        self.bytes_written += other.bytes_written
        self.server_cpu_s += other.server_cpu_s

    def times(self, factor: float) -> "Cost":
        """Return a multiple, such as the cost per frame."""
        return Cost(
            self.wall_s * factor,
            self.cpu_s * factor,
            round(self.bytes_read * factor),
            round(self.bytes_written * factor),
            self.server_cpu_s * factor,
        )


@contextmanager
def metered(server_pid: int | None = None) -> Iterator[Cost]:
    """Measure the block; the value is filled in at its end.

    Parameters
    ----------
    server_pid : int, optional
        Process of a database server whose processor time is wanted as well.
    """
    cost = Cost()
    server = None if server_pid is None else psutil.Process(server_pid)
    served_s = 0.0 if server is None else sum(server.cpu_times()[:2])
    before, cpu, start = _bytes(), time.process_time(), time.perf_counter()
    try:
        yield cost
    finally:
        cost.wall_s = time.perf_counter() - start
        cost.cpu_s = time.process_time() - cpu
        cost.server_cpu_s = 0.0 if server is None else sum(server.cpu_times()[:2]) - served_s
        after = _bytes()
        cost.bytes_read, cost.bytes_written = after[0] - before[0], after[1] - before[1]


def _bytes() -> tuple[int, int]:
    """Return bytes read and written so far, of this process and its ended children (Linux)."""
    try:
        lines = Path("/proc/self/io").read_text().splitlines()
    except FileNotFoundError:
        return 0, 0
    counts = dict(line.split(": ") for line in lines)
    return int(counts["rchar"]), int(counts["wchar"])


def peak_bytes() -> int:
    """Return the largest resident size of this program so far (Linux; 0 elsewhere).

    Not ``ru_maxrss``: a new program starts with that of the process that forked it.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def read_all(paths: list[Path]) -> Cost:
    """Read files whole into one buffer and look at nothing: the least that any chain costs."""
    buffer = memoryview(bytearray(BUFFER_BYTES))
    with metered() as cost:
        for path in paths:
            with path.open("rb", buffering=0) as stream:
                while stream.readinto(buffer):
                    pass
    return cost


def in_fresh_process(
    work: Callable[P, Answer], /, *args: P.args, **kwargs: P.kwargs
) -> tuple[Answer, int]:
    """Call a function in a process of its own; return its answer and the peak memory, bytes."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        answer = pool.submit(work, *args, **kwargs).result()
        return answer, pool.submit(peak_bytes).result()
