"""How one aligned frame goes into a stack, and how stacks are kept in files."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.frames import FrameFile, read_frame
from tianyu.pipelines.gpu import find_gpu
from tianyu.pipelines.kernels import compiled_kernels, gpu_kernels
from tianyu.pipelines.lists import as_images, read_list
from tianyu.pipelines.measuring import STACK_IGNORES, MeasuredFrame
from tianyu.pipelines.products import NewImage, Products
from tianyu.pipelines.saving import save_image
from tianyu.pipelines.science.alignment import Alignment
from tianyu.pipelines.science.gpu.summing import DeviceStack
from tianyu.pipelines.science.sparse import image_of_runs, narrowed, runs_of, widened
from tianyu.pipelines.science.stack import Canvas, PartialStack, RowAdder
from tianyu.pipelines.science.transform import AffineTransform

MAX_CORNER_DEPARTURE_PIX = 0.5
"""A frame turned by more than this at its corners would blur the stack: weight 0."""


def is_stackable(alignment: Alignment) -> bool:
    """Tell whether whole-pixel shifts bring a frame onto the canvas without blurring."""
    height, width = alignment.shape
    departure = alignment.upright.corner_departure(width, height)
    return departure <= MAX_CORNER_DEPARTURE_PIX


def alignment_of(transform: AffineTransform, shape: tuple[int, int]) -> Alignment:
    """Rebuild, from a stored transform, what stacking needs of an alignment."""
    nan = float("nan")
    return Alignment(
        transform=transform,
        n_matched=0,
        residual_rms_pix=nan,
        transparency=nan,
        flipped=transform.a < 0 and transform.d < 0,
        shape=shape,
    )


def new_stack(canvas: Canvas) -> PartialStack | DeviceStack:
    """Return an empty stack where frames are worked on; :func:`finished` brings it back."""
    if not gpu_kernels():
        return PartialStack.empty(canvas)
    return find_gpu().new_stack(canvas)


def finished(stack: PartialStack | DeviceStack) -> PartialStack:
    """Return a stack to which nothing more is added."""
    return stack.fetch() if isinstance(stack, DeviceStack) else stack


def add_frame(
    stack: PartialStack | DeviceStack, frame: MeasuredFrame, alignment: Alignment, *, sign: int = 1
) -> None:
    """Add a frame to a stack, or subtract it (``sign`` −1), by its whole-pixel shift."""
    dx, dy = alignment.whole_pixel_shift
    if isinstance(stack, DeviceStack):
        arrays = find_gpu().arrays_of(frame)
        ignored = int(STACK_IGNORES)
        stack.add(*arrays, dx, dy, flipped=alignment.flipped, ignored=ignored, sign=sign)
        return
    change = stack.add if sign > 0 else stack.subtract
    change(
        frame.pixels,
        frame.mask,
        dx,
        dy,
        flipped=alignment.flipped,
        ignored=STACK_IGNORES,
        add_rows=row_adder(),
    )


def row_adder() -> RowAdder | None:
    """Return the compiled function for stacks; None where the settings want the plain ones."""
    if not compiled_kernels():
        return None
    from tianyu.pipelines.science.kernels.summing import add_rows  # noqa: PLC0415 - slow to import

    return add_rows


def save_stack(
    context: StepContext,
    products: Products,
    kind: str,
    stack: PartialStack,
    header: Mapping[str, Any],
    *,
    exposure_s: float,
) -> NewImage:
    """Save a stack: exact sum and counts, and for a template the mean that people look at.

    What lies between steps, and nobody looks at, is written in few bytes.
    """
    canvas, total, count = stack.canvas, stack.total, stack.small_count()
    cards = {**header, "canvas_x0": canvas.x0, "canvas_y0": canvas.y0, "n_frames": stack.n_frames}
    arrays = [("SUM", total), ("COUNT", count)]
    if kind == "template":
        # SEP reads float32; the mean comes first, since viewers show the first image.
        arrays.insert(0, ("MEAN", stack.mean()))
    else:
        low, runs = narrowed(total), runs_of(count)
        if low is not None and runs is not None:
            arrays = [("SUM", low[0]), *as_images("LARGE", low[1]), *as_images("COUNT", runs)]
            cards["is_compact"] = True
    return save_image(context, products, kind, arrays, header=cards, exposure_s=exposure_s)


def load_stack(context: StepContext, file: FrameFile) -> PartialStack:
    """Read a stack back."""
    canvas = Canvas(
        int(file.header["canvas_x0"]), int(file.header["canvas_y0"]), file.width, file.height
    )
    total = read_frame(context, file, extension="SUM")
    if file.header.get("is_compact"):
        (large, of_large), (runs, of_runs) = (read_list(file.path, n) for n in ("LARGE", "COUNT"))
        context.traffic.read += of_large + of_runs
        total, count = widened(total, large), image_of_runs(runs, canvas.shape)
    else:
        count = read_frame(context, file, extension="COUNT")
    return PartialStack(canvas, np.asarray(total), np.asarray(count), int(file.header["n_frames"]))
