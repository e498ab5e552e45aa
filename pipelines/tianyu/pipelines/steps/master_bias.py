"""Master bias: the mean of the bias frames."""

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.frames import raw_frames, read_frame
from tianyu.pipelines.products import Products
from tianyu.pipelines.saving import save_image
from tianyu.pipelines.science.arrays import AnyArray
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
    frames = raw_frames(context, parameters.frames)

    pair: list[AnyArray] = []

    def images() -> Iterator[AnyArray]:
        for done, frame in enumerate(frames):
            context.progress(done, len(frames))
            pixels = read_frame(context, frame)
            if done < N_PAIR:
                pair.append(pixels)
            yield pixels

    bias = mean_frame(images())
    header: dict[str, Any] = {"n_frames": len(frames), "frames": [f.image_id for f in frames]}
    if len(pair) == N_PAIR:
        header["read_noise_adu"] = read_noise_of_pair(*pair)
    products = Products()
    save_image(context, products, "master_bias", [("BIAS", bias)], header=header, exposure_s=0.0)
    return products
