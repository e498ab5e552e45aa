"""Master dark: what the detector counts without light in one exposure time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from tianyu.pipelines.bad_pixel_lists import CARD, bad_pixel_list
from tianyu.pipelines.calibration import Calibration
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.frames import FrameFile, product_of, raw_frames, read_frame
from tianyu.pipelines.products import Products
from tianyu.pipelines.rows import open_frames
from tianyu.pipelines.run_notes import note_left_out
from tianyu.pipelines.saving import save_image
from tianyu.pipelines.science.masters import clipped_mean_frame
from tianyu.pipelines.step import StepParameters, step

CLIP_SIGMA = 5.0
"""Cosmic rays hit a pixel in one dark of a set; noise reaches this once in a few million."""

EXPOSURE_TOLERANCE = 0.01
"""Cameras that write measured exposures scatter by milliseconds about one nominal time."""


class MasterDark(StepParameters):
    """Parameters of the master dark."""

    frames: tuple[int, ...] = Field(min_length=1, description="images of kind dark, one exposure")
    calibration: Calibration = Calibration()
    clip_sigma: float = Field(CLIP_SIGMA, gt=0.0)


@step("master_dark", parameters=MasterDark, reads=("dark",), writes=("master_dark",))
def make_master_dark(parameters: MasterDark, context: StepContext) -> Products:
    """Average dark frames of one exposure time, cosmic rays clipped, the bias subtracted."""
    darks = open_frames(context, raw_frames(context, parameters.frames))
    exposure_s = _one_exposure(darks.frames)
    pixels = clipped_mean_frame(darks.readers, darks.shape, n_sigma=parameters.clip_sigma)
    bias_birth = parameters.calibration.bias
    if bias_birth is not None:
        pixels = pixels - read_frame(context, product_of(context, bias_birth, "master_bias"))
    products = Products()
    header: dict[str, Any] = {
        "n_frames": len(darks.frames),
        "frames": [frame.image_id for frame in darks.frames],
        "bias_subtracted": bias_birth is not None,
    }
    bad = bad_pixel_list("dark", pixels)
    header[CARD] = bool(bad)
    arrays = [("DARK", pixels), *bad]
    save_image(context, products, "master_dark", arrays, header=header, exposure_s=exposure_s)
    note_left_out(products, context.run_id, darks.left_out)
    return products


def _one_exposure(frames: Sequence[FrameFile]) -> float:
    exposures = [frame.exposure_s for frame in frames if frame.exposure_s is not None]
    if not exposures or max(exposures) > (1 + EXPOSURE_TOLERANCE) * min(exposures):
        raise UnusableDataError(
            f"the darks are of different exposure times {sorted(set(exposures))}; register each "
            "exposure time as an observation of its own"
        )
    return float(np.median(exposures))
