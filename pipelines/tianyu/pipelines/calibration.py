"""The calibration that a process is told to use, loaded once per child process."""

from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from tianyu.pipelines.bad_pixel_lists import CARD, bad_pixels_of
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.fits.pixels import read_pixels
from tianyu.pipelines.frames import FrameFile, product_of
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.step import ProcessId, StepParameters

_MasterFile: TypeAlias = tuple[Path, bool]
"""Of a master frame, and whether it holds the list of its bad pixels."""

KEPT_CALIBRATORS = 4
"""Prepared calibrations kept per child: one per exposure time of the frames in work."""


class Calibration(StepParameters):
    """Which masters to use, by the processes that make them; None: that step is skipped."""

    bias: ProcessId | None = None
    dark: ProcessId | None = None
    flat: ProcessId | None = None


class Calibrators:
    """The calibrators of one process: masters looked up once, one calibrator per exposure time.

    Parameters
    ----------
    context : StepContext
    calibration : Calibration
        Which masters to use.
    saturation_adu : float or None
        Raw level at which pixels are saturated.

    Raises
    ------
    MissingInputError
        If a master is not there.
    """

    def __init__(
        self, context: StepContext, calibration: Calibration, saturation_adu: float | None
    ) -> None:
        self._context = context
        self._saturation_adu = saturation_adu
        self._bias = _master(context, calibration.bias, "master_bias")
        self._dark = _master(context, calibration.dark, "master_dark")
        self._flat = _master(context, calibration.flat, "master_flat")

    def for_exposure(self, exposure_s: float | None) -> Calibrator:
        """Return the calibrator of frames of one exposure time.

        Raises
        ------
        UnusableDataError
            If a dark is to be scaled to an exposure time that is not known.
        """
        scale = 1.0 if self._dark is None else dark_scale(self._dark, exposure_s)
        files = (self._bias, self._dark, self._flat)
        misses = _prepare.cache_info().misses
        calibrator = _prepare(
            *(None if file is None else (file.path, _has_list(file)) for file in files),
            scale=scale,
            saturation_adu=self._saturation_adu,
        )
        if _prepare.cache_info().misses > misses:
            self._context.traffic.read += sum(file.size_bytes for file in files if file)
        return calibrator


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


def _has_list(master: FrameFile) -> bool:
    return bool(master.header.get(CARD, False))


def _master(context: StepContext, birth: int | None, kind: str) -> FrameFile | None:
    return None if birth is None else product_of(context, birth, kind)


# A product's path holds the process and attempt that made it, so it never changes its content.
@lru_cache(maxsize=KEPT_CALIBRATORS)
def _prepare(
    bias_file: _MasterFile | None,
    dark_file: _MasterFile | None,
    flat_file: _MasterFile | None,
    scale: float,
    saturation_adu: float | None,
) -> Calibrator:
    files = {"bias": bias_file, "dark": dark_file, "flat": flat_file}
    masters = {kind: read_pixels(file[0]) for kind, file in files.items() if file}
    listed_in = {kind: file[0] for kind, file in files.items() if file and file[1]}
    bad = bad_pixels_of(masters, listed_in) if masters else None
    return Calibrator(**masters, dark_scale=scale, bad=bad, saturation=saturation_adu)
