"""Master bias: the mean of the bias frames."""

from collections.abc import Iterator

from pydantic import Field

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.frames import raw_frames, read_frame
from tianyu.pipelines.products import Products
from tianyu.pipelines.saving import save_image
from tianyu.pipelines.science.arrays import AnyArray
from tianyu.pipelines.science.masters import mean_frame
from tianyu.pipelines.step import StepParameters, step


class MasterBias(StepParameters):
    """Parameters of the master bias."""

    frames: tuple[int, ...] = Field(min_length=1, description="images of kind bias")


@step("master_bias", parameters=MasterBias, reads=("bias",), writes=("master_bias",))
def make_master_bias(parameters: MasterBias, context: StepContext) -> Products:
    """Average bias frames into a master bias."""
    frames = raw_frames(context, parameters.frames)

    def images() -> Iterator[AnyArray]:
        for done, frame in enumerate(frames):
            context.progress(done, len(frames))
            yield read_frame(context, frame)

    products = Products()
    header = {"n_frames": len(frames), "frames": [f.image_id for f in frames]}
    save_image(
        context, products, "master_bias", [("BIAS", mean_frame(images()))], header=header,
        exposure_s=0.0,
    )  # fmt: skip
    return products
