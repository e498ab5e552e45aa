"""What is measured of the database and the engine, on servers of its own."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks import engine_overhead, million, rows, served_overhead
from tests.benchmarks.goals import Measured
from tests.servers.binaries import find_binaries
from tests.servers.mariadb import DatabaseProcess
from tests.servers.rabbitmq import BrokerProcess

N_SOURCES, N_FRAMES, N_RADII = 900, 999, 3
CHUNK_FRAMES = 32


@dataclass(frozen=True)
class Servers:
    """MariaDB and RabbitMQ, started from their binaries."""

    database: DatabaseProcess
    broker: BrokerProcess


@contextmanager
def servers() -> Iterator[Servers]:
    """Start both, and end them."""
    binaries = find_binaries()
    started = Servers(DatabaseProcess(binaries), BrokerProcess(binaries))
    try:
        started.database.start()
        started.broker.start()
        yield started
    finally:
        started.broker.remove()
        started.database.remove()


def storing(at: Servers, *, rounds: int) -> dict[str, Measured]:
    """Measure storing the rows of a chunk."""
    ratios = []
    for _ in range(rounds):
        with at.database.fresh_database() as url, tempfile.TemporaryDirectory() as root:
            found = rows.storing(url, Path(root), N_SOURCES, CHUNK_FRAMES, N_RADII)
        ratios.append(found.executemany_ms / found.insert_columns_ms)
    return {"rows_vs_executemany": Measured.of(ratios)}


def curves(at: Servers, *, rounds: int) -> dict[str, Measured]:
    """Measure reading a star back and relative photometry of a whole night."""
    found = []
    for _ in range(rounds):
        with at.database.fresh_database() as url, tempfile.TemporaryDirectory() as root:
            found.append(rows.curves(url, Path(root), N_SOURCES, N_FRAMES))
    return {
        "points_of_one_star_ms": Measured.of([f.flux_of_a_star_ms for f in found]),
        "light_curve_of_one_star_ms": Measured.of([f.light_curve_of_a_star_ms for f in found]),
        "relative_end_to_end_s": Measured.of([f.relative_end_to_end_s for f in found]),
        "relative_arithmetic_s": Measured.of([f.relative_arithmetic_s for f in found]),
    }


def overheads(at: Servers, *, rounds: int, processes: int) -> dict[str, Measured]:
    """Measure what the engine costs per process that does nothing."""
    os.environ["TIANYU_STEP_MODULES"] = "tests.benchmarks.noop_step"
    shapes = {"fan_out": served_overhead.fan_out, "chain": served_overhead.chain}
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            parents = engine_overhead.fan_out(processes)
            ms, _ = engine_overhead.overhead_ms(Path(folder), parents, 1)
            found.setdefault("overhead_embedded_ms", []).append(ms)
        for name, parents_of in shapes.items():
            with at.database.fresh_database() as url, tempfile.TemporaryDirectory() as folder:
                vhost = at.broker.fresh_vhost()
                ms = served_overhead.overhead_ms(url, vhost, Path(folder), parents_of(processes), 2)
            found.setdefault(f"overhead_{name}_ms", []).append(ms)
    return {name: Measured.of(values) for name, values in found.items()}


def poll_of_a_million(processes: int) -> dict[str, Measured]:
    """Measure a manager's round among so many waiting processes, on MariaDB."""
    with million.databases["mariadb"]() as database:
        return {"poll_million_ms": Measured.of([million.measure("mariadb", database, processes)])}
