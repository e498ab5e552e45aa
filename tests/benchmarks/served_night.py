"""A night through the services as they run on a site: manager, consumers, MariaDB, RabbitMQ."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select
from tests.benchmarks.consumers import read_spans
from tests.benchmarks.database_path import Servers, servers
from tests.integration.served.installation import Installation, Service

from tianyu.schema.states import State
from tianyu.schema.tables import Attempt, Flux, Process, RelativeFlux

PATIENCE_S = 4 * 3600.0
LOOK_S = 0.5


@dataclass(frozen=True)
class ServedNight:
    """What it took, from the start of the registration to the last commit.

    Attributes
    ----------
    peak_bytes : int
        Largest resident size of any child of a consumer.
    bytes_read, bytes_written : int
        Through read and write calls of the consumers and their children, imports included.
    files_read, files_written : int
        Frames and products, as the steps state them.
    cpu_s : float
        Of the steps.
    """

    n_frames: int
    raw_bytes: int
    registration_s: float
    total_s: float
    by_step: dict[str, float]
    peak_after: dict[str, int]
    """Largest resident size of a child so far, when a step had ended, bytes."""
    n_flux_rows: int
    n_relative_rows: int
    peak_bytes: int
    bytes_read: int
    bytes_written: int
    files_read: int
    files_written: int
    cpu_s: float


def reduce_served(folder: Path, consumers: int, chunk_frames: int, **variables: str) -> ServedNight:
    """Reduce a folder of frames with so many consumers of one child each.

    Parameters
    ----------
    folder : Path
    consumers, chunk_frames : int
    **variables : str
        More environment for the services.

    Raises
    ------
    RuntimeError
        If a process did not succeed.
    """
    with (
        servers() as at,
        tempfile.TemporaryDirectory(prefix="tianyu-night-") as scratch,
        at.database.fresh_database() as url,
    ):
        installation = _installation(at, url, Path(scratch), variables)
        try:
            return _reduce(installation, folder, consumers, chunk_frames)
        finally:
            installation.close()


def _installation(at: Servers, url: str, scratch: Path, variables: dict[str, str]) -> Installation:
    return Installation(
        url,
        at.broker.fresh_vhost(),
        scratch,
        # Frames of 61 megapixels take minutes: a lease of five seconds is for tests of its loss.
        variables={"TIANYU_LEASE_S": "60", **variables},
        patience_s=PATIENCE_S,
    )


def _reduce(
    installation: Installation, folder: Path, consumers: int, chunk_frames: int
) -> ServedNight:
    installation.run("init", "--root", str(installation.root))
    services = [installation.start("consumer", "--processes", "1") for _ in range(consumers)]
    start = time.monotonic()
    installation.run("register", str(folder), "--chunk", str(chunk_frames))
    registration_s = time.monotonic() - start
    # Started last: until then nothing is handed out.
    installation.start("manager")
    while not installation.is_done():
        if time.monotonic() - start > PATIENCE_S:
            raise RuntimeError(f"not done after {PATIENCE_S:.0f} s\n{installation.logs()}")
        time.sleep(LOOK_S)
    total_s = time.monotonic() - start
    if installation.states() != {State.SUCCEEDED}:
        raise RuntimeError(f"not everything succeeded\n{installation.logs()}")
    children = [child for service in services for child in _children(service)]
    counters = [child.io_counters() for child in children]
    lights = list(folder.glob("light_*.fits"))
    return ServedNight(
        n_frames=len(lights),
        raw_bytes=sum(path.stat().st_size for path in lights),
        registration_s=registration_s,
        total_s=total_s,
        by_step=read_spans(installation.database).by_step,
        peak_bytes=max(_peak_bytes(child.pid) for child in children),
        bytes_read=sum(c.read_chars for c in counters),
        bytes_written=sum(c.write_chars for c in counters),
        **_counted(installation),
    )


def _children(service: Service) -> list[psutil.Process]:
    """Return the consumer and the processes below it."""
    consumer = psutil.Process(service.process.pid)
    return [consumer, *consumer.children(recursive=True)]


def _peak_bytes(os_pid: int) -> int:
    lines = Path(f"/proc/{os_pid}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _counted(installation: Installation) -> dict[str, Any]:
    peaks = (
        select(Process.command, func.max(Attempt.peak_memory_bytes))
        .join(Process, Process.id == Attempt.process_id)
        .group_by(Process.command)
    )
    sums = select(
        func.sum(Attempt.cpu_s), func.sum(Attempt.bytes_read), func.sum(Attempt.bytes_written)
    )
    with installation.database.read() as connection:
        peak_after = {command: int(peak) for command, peak in connection.execute(peaks)}
        cpu_s, files_read, files_written = connection.execute(sums).one()
        n_flux = connection.scalar(select(func.count()).select_from(Flux))
        n_relative = connection.scalar(select(func.count()).select_from(RelativeFlux))
    return {
        "peak_after": peak_after,
        "cpu_s": float(cpu_s),
        "files_read": int(files_read),
        "files_written": int(files_written),
        "n_flux_rows": n_flux,
        "n_relative_rows": n_relative,
    }


def show(night: ServedNight, title: str, published: dict[str, str]) -> None:
    """Print what it took, beside what was published."""
    console = Console(width=100)
    table = Table(title=title)
    for name in ("", "here", "published"):
        table.add_column(name, justify="left" if not name else "right")
    raw = night.raw_bytes
    rows = night.n_flux_rows + night.n_relative_rows
    for name, value in {
        "total time": f"{night.total_s:.1f} s",
        "per frame": f"{1e3 * night.total_s / night.n_frames:.1f} ms",
        "of it registration": f"{night.registration_s:.1f} s",
        "rows": f"{night.n_flux_rows} fluxes, {night.n_relative_rows} relative",
        "rows per second": f"{rows / night.total_s:.0f}",
        "raw bytes": f"{raw / 1e6:.0f} MB",
        "read, over raw": f"{night.bytes_read / raw:.2f}",
        "written, over raw": f"{night.bytes_written / raw:.2f}",
        "frames and products read": f"{night.files_read / raw:.2f}",
        "products written": f"{night.files_written / raw:.2f}",
        "processor time of the steps": f"{night.cpu_s:.1f} s",
        "peak memory of a child": f"{night.peak_bytes / 1e6:.0f} MB",
        **{
            f"span of {step}, peak so far": f"{span:.1f} s, {night.peak_after[step] / 1e6:.0f} MB"
            for step, span in night.by_step.items()
        },
    }.items():
        table.add_row(name, value, published.get(name, ""))
    console.print(table)
