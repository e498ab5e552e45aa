"""Aligning frames: the project's stars and map against SEP at 5σ and equation 2."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.benchmarks import astropy_sep
from tests.benchmarks.metering import Cost, metered
from tests.benchmarks.night import FrameTruth, light_paths, read_truth
from tests.benchmarks.plain_masters import PlainMasters

from tianyu.pipelines.aligning import align_method
from tianyu.pipelines.fits.pixels import read_pixels
from tianyu.pipelines.measuring import MeasuredFrame, measure_frame, stars_of
from tianyu.pipelines.science.align import align
from tianyu.pipelines.science.alignment import Alignment
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.overscan import RawFrame


@dataclass(frozen=True)
class AlignmentTimes:
    """Per frame; errors against where the simulator put the stars, pixels."""

    own: Cost
    opponent: Cost
    n_frames: int
    own_error_pix: float
    opponent_error_pix: float


def compare(folder: Path, n_frames: int) -> AlignmentTimes:
    """Align the same calibrated frames both ways, in turn."""
    masters = PlainMasters.of(folder)
    truth = read_truth(folder)[:n_frames]
    frames = [_prepared(path, masters) for path in light_paths(folder)[:n_frames]]
    own, opponent = Cost(), Cost()
    method = align_method()
    # Loads the compiled functions.
    first = stars_of(frames[0])
    align(first, first, frames[0].shape, method=method)
    lists = []
    for frame in frames:
        with metered() as cost:
            lists.append(stars_of(frame))
        own.add(cost)
        with metered() as cost:
            astropy_sep.find_stars(frame.pixels)
        opponent.add(cost)
    plain = [astropy_sep.find_stars(frame.pixels) for frame in frames]
    with metered() as cost:
        maps = [align(lists[0], stars, frames[0].shape, method=method) for stars in lists]
    own.add(cost)
    with metered() as cost:
        shifts = [astropy_sep.find_shift(plain[0], stars) for stars in plain]
    opponent.add(cost)
    return AlignmentTimes(
        own,
        opponent,
        n_frames,
        _error_of_maps(maps, truth, frames[0].pixels.shape),
        _error(np.array(shifts, dtype=np.float64), truth),
    )


def _prepared(path: Path, masters: PlainMasters) -> MeasuredFrame:
    raw = RawFrame(read_pixels(path))
    calibrator = Calibrator(bias=masters.dark, dark=None, dark_scale=1.0, flat=masters.flat,
                            bad=None, saturation=None)  # fmt: skip
    frame = measure_frame(raw, calibrator, sky_box_pix=64)
    # Nothing that was found on the way: looking for stars is what is measured here.
    return MeasuredFrame(frame.pixels, frame.mask, frame.sky)


def _error_of_maps(maps: list[Alignment], truth: list[FrameTruth], shape: tuple[int, int]) -> float:
    """Return the error in the middle of the frame."""
    y, x = (0.5 * (n - 1) for n in shape)
    at = [m.transform.apply(np.array([x]), np.array([y])) for m in maps]
    shifts = np.array([(float(to_x[0]) - x, float(to_y[0]) - y) for to_x, to_y in at])
    return _error(shifts, truth)


def _error(shifts: np.ndarray, truth: list[FrameTruth]) -> float:
    """Return the rms error per axis over all frames but the reference."""
    true = np.array([(t.dx - truth[0].dx, t.dy - truth[0].dy) for t in truth])
    return float(np.sqrt(np.mean((shifts - true)[1:] ** 2)))
