"""Stacks that grow where the frames are, and come back once per chunk."""

import numpy as np

from tianyu.pipelines.science.gpu.namespace import ArrayNamespace, DeviceArray, to_host
from tianyu.pipelines.science.stack import HARD_LIMIT, STEPS_PER_ADU, Canvas, PartialStack, overlap


class DeviceStack:
    """Sum of frames on a canvas: :class:`~tianyu.pipelines.science.stack.PartialStack`.

    Sums are of integers of 64 bits, so that nobody has to wait for the bound of a frame before it
    is added. They come back as narrow as they are.

    Parameters
    ----------
    canvas : Canvas
    xp : namespace

    Examples
    --------
    >>> stack = DeviceStack(Canvas(x0=0, y0=0, width=2, height=1), np)
    >>> good = np.zeros((1, 2), np.uint8)
    >>> stack.add(np.array([[1.0, 2.0]], np.float32), good, dx=0, dy=0)
    >>> stack.add(np.array([[4.0, 5.0]], np.float32), good, dx=1, dy=0)
    >>> stack.fetch().mean().tolist(), stack.fetch().count.tolist()
    ([[3.0, 2.0]], [[2, 1]])
    """

    def __init__(self, canvas: Canvas, xp: ArrayNamespace) -> None:
        self.canvas = canvas
        self._xp = xp
        self._total = xp.zeros(canvas.shape, xp.int64)
        self._count = xp.zeros(canvas.shape, xp.int32)
        self._n_frames = 0

    def add(
        self,
        pixels: DeviceArray,
        mask: DeviceArray,
        dx: int,
        dy: int,
        *,
        flipped: bool = False,
        ignored: int = 0,
        sign: int = 1,
    ) -> None:
        """Add a frame by its integer shift, or take it out again.

        Parameters
        ----------
        pixels, mask : array of float32 and of uint8, shape (ny, nx)
        dx, dy, flipped, ignored
            As of :meth:`~tianyu.pipelines.science.stack.PartialStack.add`.
        sign : int
            −1: subtract.
        """
        xp = self._xp
        if flipped:
            pixels, mask = pixels[::-1, ::-1], mask[::-1, ::-1]
        canvas_y, frame_y = overlap(self.canvas.y0 + dy, self.canvas.height, pixels.shape[0])
        canvas_x, frame_x = overlap(self.canvas.x0 + dx, self.canvas.width, pixels.shape[1])
        part, bits = pixels[frame_y, frame_x], mask[frame_y, frame_x]
        with np.errstate(over="ignore"):  # beyond float32 is not finite, and bad
            steps = xp.rint(part * float(STEPS_PER_ADU))
        is_good = ((bits & (0xFF ^ ignored)) == 0) & xp.isfinite(steps)
        steps = xp.clip(xp.where(is_good, steps, 0.0), -float(HARD_LIMIT), float(HARD_LIMIT))
        self._total[canvas_y, canvas_x] += sign * steps.astype(xp.int64)
        self._count[canvas_y, canvas_x] += sign * is_good.astype(xp.int32)
        self._n_frames += sign

    def fetch(self) -> PartialStack:
        """Return the stack on the host."""
        # Few stacks need more: half the bytes come back.
        is_wide = int(abs(self._total).max()) > np.iinfo(np.int32).max
        total = self._total if is_wide else self._total.astype(self._xp.int32)
        return PartialStack(self.canvas, to_host(total), to_host(self._count), self._n_frames)
