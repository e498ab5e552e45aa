"""A simulated night as FITS files in a folder."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from astropy.io import fits

from tianyu.pipelines.simulation.plan import FrameKind, NightPlan
from tianyu.pipelines.simulation.render import SimulatedFrame, simulate
from tianyu.pipelines.simulation.scene import build_scene
from tianyu.pipelines.simulation.truth import NightTruth

Progress = Callable[[int, int], None]
"""Called with the numbers of frames done and wanted, after each frame."""


@dataclass(frozen=True)
class _Order:
    """One frame to be made: what another process needs to know."""

    plan: NightPlan
    folder: Path
    kind: FrameKind
    index: int


def simulate_night(
    plan: NightPlan, folder: Path, *, progress: Progress | None = None, processes: int = 1
) -> NightTruth:
    """Write all frames of a night, and the truth about them, into a folder.

    The frames are the same, bit for bit, whatever the number of processes.

    Parameters
    ----------
    plan : NightPlan
        The night.
    folder : Path
        Made if missing; files of the same names are overwritten.
    progress : callable, optional
        ``progress(done, total)`` is called after each frame.
    processes : int, optional
        Processes to share the work.

    Returns
    -------
    NightTruth
        Also in ``truth.json`` of the folder.

    Raises
    ------
    ValueError
        If ``processes`` is not positive or the plan cannot be observed.
    """
    if processes < 1:
        raise ValueError(f"{processes} processes cannot simulate a night; give 1 or more")
    truth = NightTruth.of(build_scene(plan))
    folder.mkdir(parents=True, exist_ok=True)
    truth.write(folder)
    orders = [_Order(plan, folder, kind, index) for kind, index in night_frames(plan)]
    for done, _ in enumerate(_carried_out(orders, processes), start=1):
        if progress is not None:
            progress(done, len(orders))
    return truth


def night_frames(plan: NightPlan) -> list[tuple[FrameKind, int]]:
    """Kind and 0-based number of every frame of a night, in order of time."""
    numbers = {
        FrameKind.BIAS: plan.n_bias,
        FrameKind.DARK: plan.n_dark,
        FrameKind.FLAT: plan.n_flat,
        FrameKind.LIGHT: plan.n_light,
    }
    return [(kind, index) for kind, number in numbers.items() for index in range(number)]


def write_frame(frame: SimulatedFrame, folder: Path) -> Path:
    """Write a frame as 16-bit FITS under its name and return the path.

    The file appears whole or not at all: a watched folder never shows half a frame.
    """
    hdu = fits.PrimaryHDU(frame.raw)
    hdu.header.extend(frame.header)
    path = folder / frame.name
    unfinished = path.with_name(f".{path.name}.part")
    hdu.writeto(unfinished, overwrite=True)
    unfinished.replace(path)
    return path


def _carried_out(orders: list[_Order], processes: int) -> Iterator[Path]:
    """Carry out the orders, here or in worker processes, in order."""
    if processes == 1:
        yield from map(_carry_out, orders)
        return
    # Forking a process that has threads (the database's, the broker's) may lock up.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from pool.map(_carry_out, orders, chunksize=4)


def _carry_out(order: _Order) -> Path:
    """Simulate one frame and write it."""
    return write_frame(simulate(order.plan, order.kind, order.index), order.folder)
