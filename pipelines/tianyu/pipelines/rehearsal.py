"""Measuring a frame of nothing, so that the first real one need not wait.

In a new process it would wait a second for Numba to start and for kernels to be loaded from where
they are kept. A process that is idle anyway has that time.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tianyu.pipelines.aligning import align_method
from tianyu.pipelines.flux_plan import FluxPlan, measure_sources
from tianyu.pipelines.kernels import compiled_kernels, gpu_kernels, kernel_folder
from tianyu.pipelines.measuring import (
    measure_frame,
    refuse_blank_frame,
    remeasure_frame,
    stars_of,
)
from tianyu.pipelines.science.align import align
from tianyu.pipelines.science.arrays import AnyArray, FloatArray
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.overscan import RawFrame
from tianyu.pipelines.science.stack import Canvas, PartialStack
from tianyu.pipelines.stacking import add_frame

SIDE_PIX = 192
FWHM_PIX = 3.0
N_STARS = 40


def rehearse() -> Iterator[None]:
    """Load what both passes over the frames of a night take, piece by piece.

    Yields
    ------
    None
        After each piece, for whoever has something better to do by then. Kernels that were never
        compiled are left alone: that takes half a minute, and some other process is at it.
    """
    if not compiled_kernels() or gpu_kernels() or not _are_kept(kernel_folder()):
        return
    x, y, counts = _field()
    raw, zero = RawFrame(counts), np.zeros(counts.shape, np.float32)
    bad = np.zeros(counts.shape, np.uint8)
    calibrator = Calibrator(bias=zero, dark=zero, flat=zero + 1, bad=bad, saturation=6e4)
    refuse_blank_frame(raw, "rehearsal")
    yield
    image = measure_frame(raw, calibrator, sky_box_pix=64)
    yield
    stars = stars_of(image)
    alignment = align(stars, stars, image.shape, method=align_method())
    yield
    add_frame(PartialStack.empty(Canvas(0, 0, SIDE_PIX, SIDE_PIX)), image, alignment)
    yield
    plan = _plan(x, y)
    image = remeasure_frame(raw, calibrator, image.sky, zero, whole=False)
    yield
    measure_sources(image, alignment.transform, plan, gain=1.0)


def _are_kept(folder: Path) -> bool:
    """Tell whether kernels have been compiled into a folder."""
    return any(folder.rglob("*.nbc"))


def _field() -> tuple[FloatArray, FloatArray, AnyArray]:
    """Return positions of stars, and a frame of them."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(12.0, SIDE_PIX - 12.0, (2, N_STARS))
    row, column = np.indices((SIDE_PIX, SIDE_PIX))
    counts = rng.normal(500.0, 10.0, (SIDE_PIX, SIDE_PIX))
    for i in range(N_STARS):
        distance2 = (column - x[i]) ** 2 + (row - y[i]) ** 2
        counts += 5000.0 * np.exp(-distance2 / (2.0 * (FWHM_PIX / 2.355) ** 2))
    return x, y, counts.astype(np.uint16)


def _plan(x: FloatArray, y: FloatArray) -> FluxPlan:
    return FluxPlan(
        source_id=np.arange(x.size),
        x=x,
        y=y,
        neighbour_pix=np.full(x.size, 20.0),
        is_forced=np.zeros(x.size, bool),
        radii_pix=(3.0, 5.0),
        annulus_pix=(12.0, 21.0),
        fwhm_pix=FWHM_PIX,
        noise_gain=1.0,
        peak=np.full(x.size, 5000.0),
    )
