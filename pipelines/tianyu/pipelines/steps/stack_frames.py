"""One node of the stacking tree: the exact sum of the good frames below it."""

from pydantic import Field

from tianyu.pipelines.calibration import Calibration, Calibrators
from tianyu.pipelines.context import StepContext
from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.frame_rows import FrameRow, load_frame_rows
from tianyu.pipelines.frames import FrameFile, product_of, raw_frames
from tianyu.pipelines.kept_out import NOTHING, KeptOut
from tianyu.pipelines.measuring import (
    FrameBuffers,
    remeasure_frame,
    stars_of,
)
from tianyu.pipelines.products import Products
from tianyu.pipelines.reading import read_ahead
from tianyu.pipelines.reference import load_reference
from tianyu.pipelines.science.stack import PartialStack
from tianyu.pipelines.sky_meshes import load_sky_meshes
from tianyu.pipelines.stacking import (
    add_frame,
    alignment_of,
    is_stackable,
    load_stack,
    save_stack,
)
from tianyu.pipelines.step import ProcessId, StepParameters, step
from tianyu.schema.tables import Stack


class StackFrames(StepParameters):
    """Parameters of one node."""

    children: tuple[ProcessId, ...] = Field(min_length=1, description="stacks below this one")
    level: int = Field(ge=1, description="1 is above the partial stacks of pass 1")
    position: int = Field(0, ge=0)
    is_root: bool = Field(description="the root is the template")
    calibration: Calibration = Calibration()


@step(
    "stack_frames",
    parameters=StackFrames,
    reads=("partial_stack", "frame_verdict"),
    writes=("stack", "template"),
)
def stack(parameters: StackFrames, context: StepContext) -> Products:
    """Merge the stacks below, corrected for frames that pass 1 misjudged."""
    reference = load_reference(context)
    total = PartialStack.empty(reference.canvas)
    kind_below = "partial_stack" if parameters.level == 1 else "stack"
    below = [product_of(context, birth, kind_below) for birth in parameters.children]
    for done, file in enumerate(below):
        context.progress(done, len(below))
        total.merge(load_stack(context, file))
    frames = _frames_below(context, parameters, below)
    if parameters.level == 1:
        # All partial stacks of a run are made with the same parameters.
        kept_out = KeptOut.from_cards(below[0].header)
        _correct(
            context,
            parameters,
            total,
            frames,
            reference.saturation_adu,
            kept_out,
        )
    good = [frame for frame in frames if frame.is_good and _is_stackable(frame)]
    if parameters.is_root and not good:
        raise UnusableDataError(
            f"none of the {len(frames)} frames is good enough for a template; see why with "
            "`tianyu frames`"
        )
    return _products(context, parameters, total, good)


def _frames_below(
    context: StepContext, parameters: StackFrames, below: list[FrameFile]
) -> list[FrameRow]:
    if parameters.level == 1:
        return load_frame_rows(context, aligned_by=parameters.children)
    ids = {image_id for file in below for image_id in file.header["frames"]}
    return [frame for frame in load_frame_rows(context) if frame.image_id in ids]


def _is_stackable(frame: FrameRow) -> bool:
    return frame.transform is not None and is_stackable(alignment_of(frame.transform, frame.shape))


def _correct(
    context: StepContext,
    parameters: StackFrames,
    total: PartialStack,
    frames: list[FrameRow],
    saturation_adu: float | None,
    kept_out: KeptOut,
) -> None:
    """Add what pass 1 left out and the night finds good, and take out the contrary."""
    wrong = [f for f in frames if f.is_stacked != (f.is_good and _is_stackable(f))]
    if not wrong:
        return
    calibrators = Calibrators(context, parameters.calibration, saturation_adu)
    meshes = load_sky_meshes(context, [frame.image_id for frame in wrong])
    files = {file.image_id: file for file in raw_frames(context, [f.image_id for f in wrong])}
    wrong = [frame for frame in wrong if frame.transform is not None]
    buffers = FrameBuffers()
    arrivals = read_ahead(context, [files[frame.image_id] for frame in wrong])
    for frame, arrival in zip(wrong, arrivals, strict=True):
        if frame.transform is None:
            continue
        calibrator, sky = calibrators.for_exposure(arrival.file.exposure_s), meshes[frame.image_id]
        image = remeasure_frame(arrival.raw(), calibrator, sky, buffers=buffers)
        if kept_out != NOTHING:
            image = kept_out.mark(image, stars_of(image))
        sign = -1 if frame.is_stacked else 1
        add_frame(total, image, alignment_of(frame.transform, frame.shape), sign=sign)


def _products(
    context: StepContext, parameters: StackFrames, total: PartialStack, good: list[FrameRow]
) -> Products:
    products = Products()
    times = [frame.jd_utc_mid for frame in good if frame.jd_utc_mid is not None]
    exposure_s = sum(frame.exposure_s or 0.0 for frame in good)
    kind = "template" if parameters.is_root else "stack"
    header = {
        "level": parameters.level,
        "position": parameters.position,
        "frames": [frame.image_id for frame in good],
    }
    image = save_stack(context, products, kind, total, header, exposure_s=exposure_s)
    products.then(
        lambda connection: Products.insert_row(
            connection,
            Stack,
            image_id=image.known_id(),
            run_id=context.run_id,
            level=parameters.level,
            position=parameters.position,
            n_frames=len(good),
            jd_utc_mid=sum(times) / len(times) if times else None,
            exposure_s=exposure_s,
        )
    )
    return products
