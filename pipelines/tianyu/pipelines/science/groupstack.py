"""The mean of a few frames that follow each other, on the pixel grid of the middle one.

Aligned to a frame of the same hour, fields that rotate over a night do not rotate over a group;
the same rule as for the template applies within it: shifts in whole pixels, no resampling, and a
frame turned by more than half a pixel at its corners is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tianyu.pipelines.science.alignment import Alignment, half_turn
from tianyu.pipelines.science.arrays import AnyArray, FloatArray, FloatImage, MaskImage
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.stack import Canvas, PartialStack
from tianyu.pipelines.science.stamps import PASSING, UNREADABLE
from tianyu.pipelines.science.transform import AffineTransform

MAX_CORNER_DEPARTURE_PIX = 0.5
"""As for the template: a frame turned by more would blur the stack."""

LEAST_OVERLAP = 0.5
"""Of each side that a frame must share with the middle one; less would leave no field."""


@dataclass(frozen=True)
class Placement:
    """How one frame of a group lies on the grid of the middle frame.

    Attributes
    ----------
    transform : AffineTransform
        Reference pixels to pixels of this frame as it is stored.
    shift : (int, int)
        Whole pixels: this frame (upright) minus the middle one.
    flipped : bool
        Whether this frame is turned by 180° against the middle one.
    """

    transform: AffineTransform
    shift: tuple[int, int]
    flipped: bool


def place_in_group(
    transforms: Sequence[AffineTransform], middle: int, shape: tuple[int, int]
) -> list[Placement | None]:
    """Place the frames of a group on its middle one; None for a frame that must be left out.

    Parameters
    ----------
    transforms : sequence of AffineTransform
        Reference pixels to pixels of each frame.
    middle : int
        Index of the middle frame.
    shape : (int, int)
        ``(ny, nx)`` of the frames.
    """
    back = transforms[middle].inverse()
    return [_place(transform, transform.compose(back), shape) for transform in transforms]


def positions_in_stack(
    placements: Sequence[Placement], shape: tuple[int, int], x: FloatArray, y: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return where the stacked images of stars lie: the mean of where each frame puts them.

    Whole-pixel shifts leave each frame up to half a pixel off; the full maps say by how much,
    so that the aperture stands on the light without being centred on any noise.

    Parameters
    ----------
    placements : sequence of Placement
        Of the frames stacked.
    shape : (int, int)
        ``(ny, nx)`` of the frames.
    x, y : ndarray, shape (n,)
        Reference pixels.

    Returns
    -------
    x, y : ndarray, shape (n,)
        Pixels of the middle frame.
    """
    sum_x, sum_y = np.zeros(len(x)), np.zeros(len(y))
    for placement in placements:
        transform = placement.transform
        if placement.flipped:
            transform = half_turn(shape).compose(transform)
        frame_x, frame_y = transform.apply(x, y)
        sum_x += frame_x - placement.shift[0]
        sum_y += frame_y - placement.shift[1]
    return sum_x / len(placements), sum_y / len(placements)


@dataclass(eq=False)
class GroupStack:
    """Sum of the frames of one group where all of them have pixels.

    Attributes
    ----------
    placements : sequence of Placement
        Of all frames that will be added.
    shape : (int, int)
        ``(ny, nx)`` of the frames.
    canvas : Canvas
        The part of the middle frame that every frame covers.
    """

    placements: Sequence[Placement]
    shape: tuple[int, int]
    canvas: Canvas = field(init=False)
    _stack: PartialStack = field(init=False)
    _mask: MaskImage = field(init=False)

    def __post_init__(self) -> None:
        height, width = self.shape
        dx = [p.shift[0] for p in self.placements]
        dy = [p.shift[1] for p in self.placements]
        x0, y0 = max(0, -min(dx)), max(0, -min(dy))
        x1, y1 = min(width, width - max(dx)), min(height, height - max(dy))
        self.canvas = Canvas(x0, y0, x1 - x0, y1 - y0)
        self._stack = PartialStack.empty(self.canvas)
        self._mask = np.zeros(self.canvas.shape, np.uint8)

    def add(self, pixels: AnyArray, mask: MaskImage, placement: Placement) -> None:
        """Add one frame.

        Parameters
        ----------
        pixels : ndarray, shape (ny, nx)
            Calibrated, sky subtracted, ADU.
        mask : ndarray of uint8, shape (ny, nx)
            Bits of :class:`~tianyu.pipelines.science.masks.MaskBit`. Hot and saturated pixels
            are summed as they are, as in single frames, and marked; cosmic rays and trails are
            left out.
        placement : Placement
            One of those given before.
        """
        dx, dy = placement.shift
        self._stack.add(pixels, mask & (UNREADABLE | PASSING), dx, dy, flipped=placement.flipped)
        seen = mask[::-1, ::-1] if placement.flipped else mask
        y0, x0 = self.canvas.y0 + dy, self.canvas.x0 + dx
        self._mask |= seen[y0 : y0 + self.canvas.height, x0 : x0 + self.canvas.width]

    def mean(self) -> tuple[FloatImage, MaskImage]:
        """Return the mean, ADU, and the bits that any of the frames had in a pixel.

        A pixel that some frames could not give is the mean of the others, and marked BAD; one
        that none gave is NOT_FINITE.
        """
        lost = self._stack.count == 0
        partly = (self._stack.count < self._stack.n_frames) & ~lost
        mask = self._mask & np.uint8(0xFF ^ (UNREADABLE | PASSING))
        mask |= np.where(partly, MaskBit.BAD, 0).astype(np.uint8)
        mask |= np.where(lost, MaskBit.NOT_FINITE, 0).astype(np.uint8)
        return np.nan_to_num(self._stack.mean()), mask


def _place(
    transform: AffineTransform, relative: AffineTransform, shape: tuple[int, int]
) -> Placement | None:
    nan = float("nan")
    flipped = relative.a < 0 and relative.d < 0
    alignment = Alignment(relative, 0, nan, nan, flipped, shape)
    height, width = shape
    if alignment.upright.corner_departure(width, height) > MAX_CORNER_DEPARTURE_PIX:
        return None
    dx, dy = alignment.whole_pixel_shift
    if abs(dx) > (1 - LEAST_OVERLAP) * width or abs(dy) > (1 - LEAST_OVERLAP) * height:
        return None
    return Placement(transform, (dx, dy), flipped)
