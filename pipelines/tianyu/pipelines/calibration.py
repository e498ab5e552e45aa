"""The calibration that a process is told to use, loaded once per child process."""

from functools import lru_cache
from pathlib import Path

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.fits.pixels import read_pixels
from tianyu.pipelines.frames import FrameFile, product_of
from tianyu.pipelines.science.badpixels import bad_pixels
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.step import ProcessId, StepParameters

KEPT_CALIBRATORS = 4
"""Prepared calibrations kept per child: one per exposure time of the frames in work."""


class Calibration(StepParameters):
    """Which masters to use, by the processes that make them; None: that step is skipped."""

    bias: ProcessId | None = None
    dark: ProcessId | None = None
    flat: ProcessId | None = None


def load_calibrator(
    context: StepContext,
    calibration: Calibration,
    *,
    exposure_s: float | None,
    saturation_adu: float | None,
) -> Calibrator:
    """Prepare the calibration of frames of one exposure time.

    Raises
    ------
    MissingInputError
        If a master is not there.
    UnusableDataError
        If a dark is to be scaled to an exposure time that is not known.
    """
    bias = _master(context, calibration.bias, "master_bias")
    dark = _master(context, calibration.dark, "master_dark")
    flat = _master(context, calibration.flat, "master_flat")
    scale = 1.0 if dark is None else dark_scale(dark, exposure_s)
    for frame in (bias, dark, flat):
        context.traffic.read += frame.size_bytes if frame else 0
    return _prepare(
        bias.path if bias else None,
        dark.path if dark else None,
        flat.path if flat else None,
        scale,
        saturation_adu,
    )


def dark_scale(dark: FrameFile, exposure_s: float | None) -> float:
    """Return exposure over that of the dark; 1 for a dark that still holds its bias.

    Raises
    ------
    UnusableDataError
        If either exposure time is not known.
    """
    if not dark.header.get("bias_subtracted", False):
        return 1.0
    if not dark.exposure_s or exposure_s is None:
        raise UnusableDataError(
            f"the dark {dark.name} cannot be scaled: its exposure is {dark.exposure_s} s and "
            f"the frame's {exposure_s} s; register frames with exposure times"
        )
    return exposure_s / dark.exposure_s


def _master(context: StepContext, birth: int | None, kind: str) -> FrameFile | None:
    return None if birth is None else product_of(context, birth, kind)


# A product's path holds the process and attempt that made it, so it never changes its content.
@lru_cache(maxsize=KEPT_CALIBRATORS)
def _prepare(
    bias_path: Path | None,
    dark_path: Path | None,
    flat_path: Path | None,
    scale: float,
    saturation_adu: float | None,
) -> Calibrator:
    bias, dark, flat = (
        None if path is None else read_pixels(path) for path in (bias_path, dark_path, flat_path)
    )
    known = [master for master in (bias, dark, flat) if master is not None]
    bad = bad_pixels(bias=bias, dark=dark, flat=flat) if known else None
    return Calibrator(
        bias=bias, dark=dark, dark_scale=scale, flat=flat, bad=bad, saturation=saturation_adu
    )
