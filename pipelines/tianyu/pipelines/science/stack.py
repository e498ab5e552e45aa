"""Exact stacks: calibrated pixels in sixteenths of an ADU, summed as integers.

Sums of floats depend on their order, hence on chunks and on the number of consumers. Sums of
integers do not: partial stacks merge in any tree to the same mean, and a frame that was
added by mistake is subtracted again without a trace.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import AnyArray, FloatImage, MaskImage

STEPS_PER_ADU = 16
"""Pixels are rounded to 1/16 ADU: an error of 0.018 ADU rms, far below any read-out noise."""

HARD_LIMIT = 2**30
"""Steps at which a pixel is clipped, ±67 million ADU: no detector, but inside an int32."""

_STRIP_PIXELS = 2**18
"""Pixels worked on at once: 2 MB of intermediate values stay in the cache, calls stay few."""

_INT32_MAX = 2**31 - 1
_INT16_MAX = 2**15 - 1
_UINT8_MAX = 2**8 - 1


RowAdder: TypeAlias = Callable[..., tuple[int, int]]
"""Compiled function as of :mod:`tianyu.pipelines.science.kernels.summing`."""


@dataclass(frozen=True)
class Canvas:
    """Window of the reference frame on which frames are stacked.

    Pixel (0, 0) of the canvas is pixel ``(x0, y0)`` of the reference frame; `width` and
    `height` are in pixels.
    """

    x0: int
    y0: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a canvas of {self.width}×{self.height} px holds no pixel")

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the images on this canvas."""
        return self.height, self.width


@dataclass(eq=False)
class PartialStack:
    """Sum of frames on a canvas, with the number of good pixels under each sum.

    Canvas pixel (i, j) lies at ``(x0 + i, y0 + j)`` of the reference frame and takes the
    frame's pixel ``(x0 + i + dx, y0 + j + dy)``. Masked and non-finite pixels enter neither
    the sum nor the count. Sums start as int32, which holds at least 2047 frames of ±65 536 ADU,
    and turn into int64 before they could overflow; only what exceeds ±67 million ADU is clipped.

    Subtracting from an empty stack is allowed: such a correction, with negative counts,
    merges with the stack that it corrects.

    Attributes
    ----------
    canvas : Canvas
        Where the stack lies.
    total : ndarray of int32 or int64, shape (height, width)
        Sum of the good pixels, in 1/16 ADU.
    count : ndarray of int16 or int32, shape (height, width)
        Number of good pixels in each sum.
    n_frames : int
        Frames added minus frames subtracted.
    total_bound, count_bound : int
        What no absolute value of `total` and `count` can exceed; it decides their types.

    Examples
    --------
    >>> stack = PartialStack.empty(Canvas(x0=0, y0=0, width=2, height=1))
    >>> good = np.zeros((1, 2), np.uint8)
    >>> stack.add(np.array([[1.0, 2.0]], np.float32), good, dx=0, dy=0)
    >>> stack.add(np.array([[4.0, 5.0]], np.float32), good, dx=1, dy=0)
    >>> stack.mean().tolist(), stack.count.tolist()
    ([[3.0, 2.0]], [[2, 1]])
    """

    canvas: Canvas
    total: NDArray[Any]
    count: NDArray[Any]
    n_frames: int
    total_bound: int = field(init=False)
    count_bound: int = field(init=False)

    def __post_init__(self) -> None:
        for name, array in (("total", self.total), ("count", self.count)):
            if array.shape != self.canvas.shape or not np.issubdtype(array.dtype, np.integer):
                raise UnusableDataError(
                    f"{name} is {array.dtype}{list(array.shape)}, the canvas needs integers of "
                    f"shape {list(self.canvas.shape)}"
                )
        self.total_bound = _peak(self.total)
        self.count_bound = _peak(self.count)
        # Copies: the caller's arrays are never written to.
        self.total = self.total.astype(_total_type(self.total_bound))
        self.count = self.count.astype(_count_type(self.count_bound))

    @classmethod
    def empty(cls, canvas: Canvas) -> Self:
        """Return the stack of no frames."""
        return cls(canvas, np.zeros(canvas.shape, np.int32), np.zeros(canvas.shape, np.int16), 0)

    def add(
        self,
        pixels: AnyArray,
        mask: MaskImage,
        dx: int,
        dy: int,
        *,
        flipped: bool = False,
        ignored: int = 0,
        add_rows: RowAdder | None = None,
    ) -> None:
        """Add one frame by its integer shift; no pixel is resampled.

        Parameters
        ----------
        pixels : ndarray, shape (ny, nx)
            Calibrated frame, ADU.
        mask : ndarray of uint8, shape (ny, nx)
            Non-zero where a pixel is not to be used.
        dx, dy : int
            Frame coordinates minus reference coordinates, pixels.
        flipped : bool
            The frame is turned by 180°: it is reversed along both axes first, and the shift
            is that of the reversed frame.
        ignored : int
            Bits of the mask that do not matter.
        add_rows : callable, optional
            Compiled function that does the same as the plain ones here.

        Raises
        ------
        UnusableDataError
            If `pixels` and `mask` are not two images of one shape.
        TypeError
            If the shift is not a whole number.
        """
        self._accumulate(pixels, mask, (dx, dy), flipped, 1, ignored, add_rows)

    def subtract(
        self,
        pixels: AnyArray,
        mask: MaskImage,
        dx: int,
        dy: int,
        *,
        flipped: bool = False,
        ignored: int = 0,
        add_rows: RowAdder | None = None,
    ) -> None:
        """Take out what :meth:`add` with the same arguments has put in, exactly."""
        self._accumulate(pixels, mask, (dx, dy), flipped, -1, ignored, add_rows)

    def merge(self, other: "PartialStack") -> None:
        """Add another stack of the same canvas, which stays as it is.

        Raises
        ------
        UnusableDataError
            If the canvases differ.
        """
        if other.canvas != self.canvas:
            raise UnusableDataError(
                f"stacks on {self.canvas} and {other.canvas} cannot be merged: "
                "align their frames to one reference frame and canvas"
            )
        self._reserve(self.total_bound + other.total_bound)
        self._reserve_counts(self.count_bound + other.count_bound)
        self.total += other.total
        self.count += other.count
        self.n_frames += other.n_frames

    def mean(self) -> FloatImage:
        """Mean of the frames, ADU, shape ``(height, width)``; NaN where no pixel was good."""
        mean = np.full(self.canvas.shape, np.nan, np.float32)
        steps = self.count.astype(np.int64) * STEPS_PER_ADU
        np.divide(self.total, steps, out=mean, where=steps > 0, casting="same_kind")
        return mean

    def small_count(self) -> NDArray[Any]:
        """Return the counts as bytes where these hold them: a sixth less of a file."""
        if self.count.size and self.count.min() >= 0 and self.count.max() <= _UINT8_MAX:
            return self.count.astype(np.uint8)
        return self.count

    def _accumulate(
        self,
        pixels: AnyArray,
        mask: MaskImage,
        shift: tuple[int, int],
        flipped: bool,
        sign: int,
        ignored: int,
        add_rows: RowAdder | None,
    ) -> None:
        if pixels.ndim != 2 or pixels.shape != mask.shape:
            raise UnusableDataError(
                f"pixels of shape {pixels.shape} and mask of shape {mask.shape} "
                "must be two images of one shape"
            )
        dx, dy = (operator.index(step) for step in shift)
        canvas_y, frame_y = overlap(self.canvas.y0 + dy, self.canvas.height, pixels.shape[0])
        canvas_x, frame_x = overlap(self.canvas.x0 + dx, self.canvas.width, pixels.shape[1])
        self.n_frames += sign
        self._reserve_counts(self.count_bound + 1)
        window = canvas_y, canvas_x
        if not self.count[window].size:
            return
        if add_rows is not None and pixels.dtype == np.float32 and pixels.flags.c_contiguous:
            frame = frame_y, frame_x
            self._add_compiled(pixels, mask, frame, window, flipped, sign, ignored, add_rows)
            return
        if ignored:
            mask = mask & np.uint8(0xFF ^ ignored)
        if flipped:
            pixels, mask = pixels[::-1, ::-1], mask[::-1, ::-1]
        self._add_strips(pixels[frame_y, frame_x], mask[frame_y, frame_x], window, sign)

    def _add_compiled(
        self,
        pixels: FloatImage,
        mask: MaskImage,
        frame: tuple[slice, slice],
        window: tuple[slice, slice],
        flipped: bool,
        sign: int,
        ignored: int,
        add_rows: RowAdder,
    ) -> None:
        """Add all rows, with wider sums from where they would not hold one."""
        ny, nx = pixels.shape
        mask = np.ascontiguousarray(mask)
        rows, columns = frame
        left, right = columns.start, columns.stop
        if flipped:
            left, right = nx - right, nx - left
        bound, scale, limit = self.total_bound, float(STEPS_PER_ADU), float(HARD_LIMIT)
        start = rows.start
        while start < rows.stop:
            first, last = (ny - rows.stop, ny - start) if flipped else (start, rows.stop)
            corner = window[0].start + start - rows.start, window[1].start
            # One frame meets a pixel only once.
            room = int(np.iinfo(self.total.dtype).max) - bound
            done, highest = add_rows(
                pixels, mask, ignored, (first, last, left, right), scale, limit, flipped, sign,
                self.total, self.count, corner, room,
            )  # fmt: skip
            self._reserve(bound + highest)
            start += done

    def _add_strips(
        self, pixels: AnyArray, mask: MaskImage, window: tuple[slice, slice], sign: int
    ) -> None:
        height, width = pixels.shape
        n_rows = min(height, max(1, _STRIP_PIXELS // width))
        steps, whole = np.empty((n_rows, width), np.float32), np.empty((n_rows, width), np.int32)
        bound, count = self.total_bound, self.count[window]
        for start in range(0, height, n_rows):
            rows = slice(start, min(start + n_rows, height))
            size = rows.stop - start
            peak, bad = _round_to_steps(pixels[rows], mask[rows], steps[:size])
            np.copyto(whole[:size], steps[:size], casting="unsafe")
            # Before the sum, so that it is wide enough; one frame meets a pixel only once.
            self._reserve(bound + peak)
            total = self.total[window][rows]
            (np.add if sign > 0 else np.subtract)(total, whole[:size], out=total)
            count[rows] += np.int16(sign)
            count[rows][np.divmod(bad, width)] -= np.int16(sign)

    def _reserve(self, bound: int) -> None:
        """Make the sums wide enough for absolute values up to `bound`."""
        self.total_bound = max(self.total_bound, bound)
        self.total = self.total.astype(_total_type(self.total_bound), copy=False)

    def _reserve_counts(self, bound: int) -> None:
        self.count_bound = bound
        self.count = self.count.astype(_count_type(bound), copy=False)


def overlap(offset: int, canvas_size: int, frame_size: int) -> tuple[slice, slice]:
    """Return the part of one canvas axis that lies on the frame, and the part of the frame there.

    Parameters
    ----------
    offset : int
        Of the canvas on the frame, pixels.
    canvas_size, frame_size : int
        Along the axis, pixels.
    """
    start = max(0, -offset)
    stop = max(start, min(canvas_size, frame_size - offset))
    return slice(start, stop), slice(start + offset, stop + offset)


def _round_to_steps(
    pixels: AnyArray, mask: MaskImage, steps: FloatImage
) -> tuple[int, NDArray[np.int64]]:
    """Write rounded pixels to `steps`, zero where bad; return a bound of them and the bad ones."""
    with np.errstate(over="ignore"):  # beyond float32 is not finite, and bad
        np.multiply(pixels, np.float32(STEPS_PER_ADU), out=steps, casting="same_kind")
    np.rint(steps, out=steps)
    flat = steps.reshape(-1)
    bad = np.flatnonzero(mask != 0)
    flat[bad] = 0
    highest, lowest = float(flat.max()), float(flat.min())  # NaN when any pixel is
    if lowest >= -HARD_LIMIT and highest <= HARD_LIMIT:
        return int(max(highest, -lowest)), bad
    bad = np.flatnonzero((mask != 0).reshape(-1) | ~np.isfinite(flat))
    flat[bad] = 0
    np.clip(flat, -HARD_LIMIT, HARD_LIMIT, out=flat)
    return int(np.abs(flat).max()), bad


def _peak(array: NDArray[Any]) -> int:
    """Largest absolute value, in the unbounded integers of Python."""
    return max(int(array.max()), -int(array.min()))


def _total_type(bound: int) -> type[np.signedinteger[Any]]:
    return np.int32 if bound <= _INT32_MAX else np.int64


def _count_type(bound: int) -> type[np.signedinteger[Any]]:
    return np.int16 if bound <= _INT16_MAX else np.int32
