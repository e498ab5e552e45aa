"""How a frame lies on its reference frame, and the error that says why it does not."""

from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.transform import AffineTransform


class AlignmentError(UnusableDataError):
    """A frame cannot be aligned to its reference; the text says why."""


@dataclass(frozen=True)
class Alignment:
    """How a frame lies on its reference frame.

    Parameters
    ----------
    transform : AffineTransform
        Map of reference pixels to pixels of the frame *as it is stored*, flip included.
    n_matched : int
        Stars that the map was fitted to.
    residual_rms_pix : float
        Weighted rms distance of those stars from the map, pixels (both axes together).
    transparency : float
        Median of frame flux over reference flux of the brightest matched stars, per unit of
        exposure time.
    flipped : bool
        Whether the frame is turned by 180° (after a meridian flip).
    shape : tuple of int
        ``(ny, nx)`` of the frame, pixels.
    """

    transform: AffineTransform
    n_matched: int
    residual_rms_pix: float
    transparency: float
    flipped: bool
    shape: tuple[int, int]

    @property
    def upright(self) -> AffineTransform:
        """Map to the frame's array after it was reversed on both axes, if it is flipped.

        Stacks use this map; it is near a pure shift.
        """
        return half_turn(self.shape).compose(self.transform) if self.flipped else self.transform

    @property
    def whole_pixel_shift(self) -> tuple[int, int]:
        """Shift ``(dx, dy)`` of the field's centre under :attr:`upright`, rounded to pixels."""
        x, y = (np.array([0.5 * (n - 1)]) for n in self.shape[::-1])
        moved_x, moved_y = self.upright.apply(x, y)
        return round(float(moved_x[0] - x[0])), round(float(moved_y[0] - y[0]))


def half_turn(shape: tuple[int, int]) -> AffineTransform:
    """Return the map of a field of ``(ny, nx)`` pixels turned by 180° on itself.

    Examples
    --------
    >>> x, y = half_turn((100, 200)).apply(np.array([0.0]), np.array([99.0]))
    >>> float(x[0]), float(y[0])
    (199.0, 0.0)
    """
    return AffineTransform(a=-1.0, d=-1.0, tx=shape[1] - 1.0, ty=shape[0] - 1.0)
