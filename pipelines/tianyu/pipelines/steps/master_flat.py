"""Master flat: the relative response of every pixel."""

import math
from typing import Any, Literal

import numpy as np
from pydantic import Field

from tianyu.pipelines.calibration import Calibration, dark_scale
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.frames import product_of, raw_frames, read_frame
from tianyu.pipelines.products import Products
from tianyu.pipelines.rows import row_readers, strip_rows
from tianyu.pipelines.saving import save_image
from tianyu.pipelines.science.arrays import AnyArray
from tianyu.pipelines.science.flats import FlatMethod, choose_flat_method, flat_levels, master_flat
from tianyu.pipelines.science.gain import MeasuredGain, gain_of_flat_pair
from tianyu.pipelines.science.strips import RowReader
from tianyu.pipelines.step import StepParameters, step

N_PAIR = 2


class MasterFlat(StepParameters):
    """Parameters of the master flat."""

    frames: tuple[int, ...] = Field(min_length=1, description="images of kind flat, one filter")
    calibration: Calibration = Calibration()
    method: Literal["auto", "mode", "clipped_mean", "weighted_mean"] = Field(
        "auto",
        description="auto: clipped mean for twilight flats, the mode if they are three or four, "
        "weighted mean for dome flats",
    )


@step("master_flat", parameters=MasterFlat, reads=("flat",), writes=("master_flat",))
def make_master_flat(parameters: MasterFlat, context: StepContext) -> Products:
    """Combine flats into the relative response of every pixel."""
    frames = raw_frames(context, parameters.frames)
    readers, shape = row_readers(context, frames), frames[0].shape
    masters: dict[str, AnyArray] = {}
    read_noise_adu = 0.0
    if parameters.calibration.bias is not None:
        bias = product_of(context, parameters.calibration.bias, "master_bias")
        masters["bias"] = read_frame(context, bias)
        read_noise_adu = float(bias.header.get("read_noise_adu", 0.0))
    if parameters.calibration.dark is not None:
        dark = product_of(context, parameters.calibration.dark, "master_dark")
        masters["dark"] = read_frame(context, dark)
        scales = [dark_scale(dark, frame.exposure_s) for frame in frames]
        masters["dark_scales"] = np.array(scales)
    rows = strip_rows(frames)
    levels = flat_levels(readers, shape, strip_rows=rows, **masters)
    exposures = [frame.exposure_s for frame in frames]
    known = np.array(exposures, dtype=float) if all(exposures) else None
    method = (
        choose_flat_method(levels, known)
        if parameters.method == "auto"
        else FlatMethod(parameters.method)
    )
    flat = master_flat(readers, shape, method=method, levels=levels, strip_rows=rows, **masters)
    products = Products()
    header: dict[str, Any] = {
        "n_frames": flat.n_frames,
        "frames": [frame.image_id for frame in frames],
        "method": flat.method.value,
        "levels_adu": [round(float(level), 1) for level in flat.levels],
    }
    gain = _gain(readers, shape, masters, read_noise_adu)
    if gain is not None:
        header |= {"measured_gain_e_per_adu": gain.e_per_adu, "measured_gain_error": gain.error}
        # Photons of all flats make the response uncertain, pixel by pixel.
        header["pixel_noise"] = 1 / math.sqrt(gain.e_per_adu * float(sum(flat.levels)))
    save_image(context, products, "master_flat", [("FLAT", flat.pixels)], header=header)
    return products


def _gain(
    readers: list[RowReader],
    shape: tuple[int, int],
    masters: dict[str, AnyArray],
    read_noise_adu: float,
) -> MeasuredGain | None:
    """Measure the gain from the first two flats; a pair needs their bias to be taken off."""
    if len(readers) < N_PAIR or "bias" not in masters:
        return None
    flats = [np.asarray(read(0, shape[0]), np.float32) - masters["bias"] for read in readers[:2]]
    return gain_of_flat_pair(flats[0], flats[1], read_noise_adu)
