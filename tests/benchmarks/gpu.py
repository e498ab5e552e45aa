"""A frame on a GPU beside the compiled kernels: ``python -m tests.benchmarks.gpu [frames]``.

Pass 1 is calibration, sky, stars and stack, pass 2 calibration and fluxes, each from counts in
memory to numbers in memory, one frame after the other, in turn. Alignment, files and the
database, which are the same for both, are not in it. Times are those of the clock: a processor
that waits for a device spends none. Without a GPU it says so and measures nothing.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from tests.benchmarks.night import BenchmarkNight, benchmark_frames, light_paths

from tianyu.pipelines import kernels
from tianyu.pipelines.fits.pixels import read_pixels
from tianyu.pipelines.gpu import find_gpu, gpu_namespace
from tianyu.pipelines.measuring import (
    FrameBuffers,
    MeasuredFrame,
    measure_frame,
    remeasure_frame,
    stars_of,
)
from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.apertures import measure_light
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.footprints import Footprints
from tianyu.pipelines.science.overscan import RawFrame
from tianyu.pipelines.science.stack import Canvas
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.stars import find_stars
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.stacking import add_frame, alignment_of, finished, new_stack
from tianyu.schema.errors import ConfigurationError

BOX_PIX = 64
MAX_SOURCES = 900
GEOMETRY = ApertureGeometry((3.0, 4.5, 6.0), (12.0, 21.0))
ROUNDS = 5


def main(n_frames: int = 16) -> int:
    """Print the time per frame of both, and their ratio."""
    try:
        cupy = gpu_namespace()
    except ConfigurationError as error:
        print(error)
        return 0
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    folder = benchmark_frames(BenchmarkNight(n_frames))
    raws = [RawFrame(read_pixels(path)) for path in light_paths(folder)]
    choose("fast")
    shape = raws[0].pixels.shape[0], raws[0].pixels.shape[1]
    flat = np.random.default_rng(1).normal(1.0, 0.01, shape)
    calibrator = Calibrator(bias=np.full(shape, 300.0), flat=flat, saturation=60000.0)
    first = measure_frame(raws[0], calibrator, sky_box_pix=BOX_PIX)
    sources = find_stars(first.pixels, first.mask, first.sky.rms, max_stars=MAX_SOURCES)
    works: dict[str, Callable[[], None]] = {
        "pass 1": lambda: pass_1(raws, calibrator),
        "pass 2": lambda: pass_2(raws, calibrator, first, sources),
    }
    seconds: dict[tuple[str, str], list[float]] = {}
    for number in range(ROUNDS + 1):
        for name, work in works.items():
            for kind in ("fast", "gpu"):
                choose(kind)
                start = time.perf_counter()
                work()
                # The first round compiles.
                if number:
                    taken = (time.perf_counter() - start) / len(raws)
                    seconds.setdefault((name, kind), []).append(taken)
    device = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    print_table(seconds, f"{len(raws)} frames, {sources.count} sources, {device}")
    return 0


def choose(kind: str) -> None:
    """Set the way frames are worked on from now on."""
    os.environ["TIANYU_KERNELS"] = kind
    kernels.gpu_kernels.cache_clear()


def pass_1(raws: Sequence[RawFrame], calibrator: Calibrator) -> None:
    """Calibrate frames, take off their skies, find their stars, stack them."""
    height, width = raws[0].pixels.shape
    stack, buffers = new_stack(Canvas(0, 0, width, height)), FrameBuffers()
    still = alignment_of(AffineTransform(1.0, 0.0, 0.0, 1.0, 0.0, 0.0), (height, width))
    for raw in arriving(raws):
        frame = measure_frame(raw, calibrator, sky_box_pix=BOX_PIX, buffers=buffers)
        stars_of(frame)
        add_frame(stack, frame, still)
    finished(stack)


def pass_2(
    raws: Sequence[RawFrame], calibrator: Calibrator, first: MeasuredFrame, sources: StarList
) -> None:
    """Calibrate frames again and measure fluxes."""
    buffers = FrameBuffers()
    under = Footprints(sources.x, sources.y, np.full(sources.count, 12.0))
    for raw in arriving(raws):
        frame = remeasure_frame(raw, calibrator, first.sky, buffers=buffers)
        reader = frame.reader(under)
        measure_light(reader, sources.x, sources.y, GEOMETRY, sky_rms=first.sky.rms, gain=None)


def arriving(raws: Sequence[RawFrame]) -> Iterator[RawFrame]:
    """Yield frames as the reading thread does: the next one is sent while one is worked on."""
    if not kernels.gpu_kernels():
        yield from raws
        return
    arrival = find_gpu().sent(raws[0])
    for following in raws[1:]:
        current, arrival = arrival, find_gpu().sent(following)
        yield current
    yield arrival


def print_table(seconds: dict[tuple[str, str], list[float]], title: str) -> None:
    """Print medians in milliseconds, and the ratios."""
    table = Table(title=title)
    for column in ("", "compiled, ms", "GPU, ms", "ratio"):
        table.add_column(column, justify="right" if column else "left")
    for name in dict.fromkeys(name for name, _ in seconds):
        fast, gpu = (1e3 * statistics.median(seconds[name, kind]) for kind in ("fast", "gpu"))
        table.add_row(name, f"{fast:.2f}", f"{gpu:.2f}", f"{fast / gpu:.2f} ×")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
