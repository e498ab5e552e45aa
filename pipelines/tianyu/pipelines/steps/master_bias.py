"""Master bias: the mean of the bias frames."""

from typing import Any

from pydantic import Field

from tianyu.pipelines.bad_pixel_lists import CARD, bad_pixel_list
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.frames import raw_frames
from tianyu.pipelines.products import Products
from tianyu.pipelines.rows import open_frames
from tianyu.pipelines.run_notes import note_left_out
from tianyu.pipelines.saving import save_image
from tianyu.pipelines.science.gain import read_noise_of_pair
from tianyu.pipelines.science.masters import mean_frame
from tianyu.pipelines.step import StepParameters, step

N_PAIR = 2


class MasterBias(StepParameters):
    """Parameters of the master bias."""

    frames: tuple[int, ...] = Field(min_length=1, description="images of kind bias")


@step("master_bias", parameters=MasterBias, reads=("bias",), writes=("master_bias",))
def make_master_bias(parameters: MasterBias, context: StepContext) -> Products:
    """Average bias frames into a master bias."""
    biases = open_frames(context, raw_frames(context, parameters.frames))
    height = biases.shape[0]
    pixels = mean_frame(read(0, height) for read in biases.readers)
    products = Products()
    header: dict[str, Any] = {
        "n_frames": len(biases.frames),
        "frames": [f.image_id for f in biases.frames],
    }
    pair = [read(0, height) for read in biases.readers[:N_PAIR]]
    if len(pair) == N_PAIR:
        header["read_noise_adu"] = read_noise_of_pair(*pair)
    bad = bad_pixel_list("bias", pixels)
    header[CARD] = bool(bad)
    arrays = [("BIAS", pixels), *bad]
    save_image(context, products, "master_bias", arrays, header=header, exposure_s=0.0)
    note_left_out(products, context.run_id, biases.left_out)
    return products
