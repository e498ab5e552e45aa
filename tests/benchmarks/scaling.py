"""How throughput grows with consumers: a simulation of queues, calibrated by measured costs.

``python -m tests.benchmarks.scaling`` reads ``build/bench.json``, which the benchmarks leave, and
writes the figure and the table of ``docs/performance.md``. Measured are what a frame costs each
step in processor time, in bytes and in commits; simulated are 1 to 64 consumers with a core each
that share a disk or a link and a database.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import simpy

REPOSITORY = Path(__file__).resolve().parents[2]
ANSWER = REPOSITORY / "build" / "bench.json"
RAW_MB = 8.39
"""A frame of 2048 × 2048 pixels of 16 bits."""
CONSUMERS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64)
CHUNK_FRAMES = 32
CHUNKS_EACH = 6
"""Chunks per consumer: the ends of a run, where some have nothing left to do, count little."""
SATURATED = 0.9
"""Of the highest throughput: more consumers than reach this gain next to nothing."""


@dataclass(frozen=True)
class Storage:
    """Where raw frames and products lie, one access at a time."""

    name: str
    mb_per_s: float


STORAGES = (
    Storage("hard disk, 150 MB/s", 150.0),
    Storage("1 Gbit/s link", 117.0),
    Storage("SATA SSD, 500 MB/s", 500.0),
    Storage("NVMe, 3 GB/s", 3000.0),
)


@dataclass(frozen=True)
class Load:
    """What one frame asks of a step.

    Attributes
    ----------
    compute_s : float
        Processor time, s.
    moved_mb : float
        Read and written, MB.
    commit_s : float
        Processor time of the database server, which has one core, s.
    """

    name: str
    compute_s: float
    moved_mb: float
    commit_s: float = 0.0

    def busiest(self, storage: Storage) -> str:
        """Name what limits any number of consumers."""
        storage_s, database_s = self.moved_mb / storage.mb_per_s, self.commit_s
        return "database" if database_s > storage_s else "storage"


def throughput(load: Load, consumers: int, storage: Storage) -> float:
    """Return frames per second of so many consumers that work chunks off.

    Parameters
    ----------
    load : Load
        Of one frame.
    consumers : int
        Each with a core of its own and one frame in hand: reads, computes, and after the last
        frame of a chunk commits.
    storage : Storage
        Shared by all.

    Examples
    --------
    >>> load = Load("", compute_s=0.9, moved_mb=10.0)
    >>> storage = Storage("", 100.0)
    >>> round(throughput(load, 1, storage), 3), round(throughput(load, 64, storage), 1)
    (1.0, 9.9)
    """
    world = simpy.Environment()
    disk, database = simpy.Resource(world), simpy.Resource(world)
    chunks = simpy.Store(world)
    n_chunks = CHUNKS_EACH * consumers
    chunks.items.extend(range(n_chunks))
    for _ in range(consumers):
        world.process(_consume(world, load, storage, chunks, disk, database))
    world.run()
    return n_chunks * CHUNK_FRAMES / float(world.now)


def _consume(
    world: simpy.Environment,
    load: Load,
    storage: Storage,
    chunks: simpy.Store,
    disk: simpy.Resource,
    database: simpy.Resource,
) -> Iterator[simpy.Event]:
    while chunks.items:
        yield chunks.get()
        for _ in range(CHUNK_FRAMES):
            with disk.request() as turn:
                yield turn
                yield world.timeout(load.moved_mb / storage.mb_per_s)
            yield world.timeout(load.compute_s)
        with database.request() as turn:
            yield turn
            yield world.timeout(load.commit_s * CHUNK_FRAMES)


def saturation(rates: Sequence[float]) -> int:
    """Return the number of consumers from which on more gain next to nothing."""
    enough = (n for n, rate in zip(CONSUMERS, rates, strict=True) if rate >= SATURATED * max(rates))
    return next(enough)


def measured_loads(answer: dict[str, Any]) -> dict[str, list[Load]]:
    """Return the steps of each design with their measured costs per frame."""
    steps = answer["steps"]
    chain = steps["MariaDB"]
    files = steps["astropy_sep"]
    # Memory maps are not counted: what each stage reads is known from what it does.
    through_files = {"calibrate": (1.0, 2.0), "align": (2.0, 0.0), "measure": (2.0, 0.0)}
    designs = {"two passes": [_load(chain, "calibrate_align"), _load(chain, "extract_flux")]}
    if "one pass" in steps:
        # It was measured on SQLite; on the server its rows are those of the second of two passes.
        one = steps["one pass"] | {"measure_frames, commit": chain["extract_flux, commit"]}
        designs["one pass"] = [_load(one, "measure_frames")]
    designs["every product through files"] = [
        Load(name, files[name]["processor_ms"] / 1e3, RAW_MB * (read + written))
        for name, (read, written) in through_files.items()
    ]
    return designs


def _load(steps: dict[str, Any], name: str) -> Load:
    work, commit = steps[name], steps[f"{name}, commit"]
    return Load(
        name,
        (work["processor_ms"] + commit["processor_ms"]) / 1e3,
        RAW_MB * (work["read"] + work["written"]),
        (work["server_processor_ms"] + commit["server_processor_ms"]) / 1e3,
    )


def whole(loads: Sequence[Load], name: str) -> Load:
    """Return the steps of a design after each other."""
    return Load(
        name,
        sum(load.compute_s for load in loads),
        sum(load.moved_mb for load in loads),
        sum(load.commit_s for load in loads),
    )


def read_answer(path: Path = ANSWER) -> dict[str, Any]:
    """Return what the benchmarks have left.

    Raises
    ------
    FileNotFoundError
        If they have not been run.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there: run `make bench` first")
    answer: dict[str, Any] = json.loads(path.read_text())
    if "MariaDB" not in answer["steps"]:
        raise ValueError(f"{path} holds no night on MariaDB: run the whole `make bench`")
    return answer
