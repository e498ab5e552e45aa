"""Affine maps between pixel grids: from the template to a frame and back."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray


@dataclass(frozen=True)
class AffineTransform:
    """Map of template pixels to frame pixels.

    ``x' = a·x + b·y + tx`` and ``y' = c·x + d·y + ty``, all in 0-based pixels.

    Examples
    --------
    >>> shift = AffineTransform.translation(3.0, -1.0)
    >>> x, y = shift.apply(np.array([10.0]), np.array([20.0]))
    >>> float(x[0]), float(y[0])
    (13.0, 19.0)
    >>> shift.inverse().compose(shift) == AffineTransform.identity()
    True
    """

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 1.0
    tx: float = 0.0
    ty: float = 0.0

    @classmethod
    def identity(cls) -> Self:
        """Return the map that leaves every pixel where it is."""
        return cls()

    @classmethod
    def translation(cls, dx: float, dy: float) -> Self:
        """Return the map that adds ``(dx, dy)`` pixels."""
        return cls(tx=float(dx), ty=float(dy))

    def apply(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Map positions of the template to positions of the frame (pixels, same shape)."""
        return self.a * x + self.b * y + self.tx, self.c * x + self.d * y + self.ty

    def inverse(self) -> "AffineTransform":
        """Return the map from the frame back to the template.

        Raises
        ------
        ValueError
            If the map is singular.
        """
        determinant = self.a * self.d - self.b * self.c
        if determinant == 0.0 or not math.isfinite(determinant):
            raise ValueError(f"the transform {self} is singular and has no inverse")
        a, b = self.d / determinant, -self.b / determinant
        c, d = -self.c / determinant, self.a / determinant
        return AffineTransform(
            a, b, c, d, -(a * self.tx + b * self.ty), -(c * self.tx + d * self.ty)
        )

    def compose(self, first: "AffineTransform") -> "AffineTransform":
        """Return the map that applies ``first`` and then this one."""
        return AffineTransform(
            self.a * first.a + self.b * first.c,
            self.a * first.b + self.b * first.d,
            self.c * first.a + self.d * first.c,
            self.c * first.b + self.d * first.d,
            self.a * first.tx + self.b * first.ty + self.tx,
            self.c * first.tx + self.d * first.ty + self.ty,
        )

    @property
    def scale(self) -> float:
        """Linear scale: square root of the absolute determinant."""
        return math.sqrt(abs(self.a * self.d - self.b * self.c))

    @property
    def rotation_deg(self) -> float:
        """Rotation from the template's x axis to the frame's, degrees in (−180, 180]."""
        return math.degrees(math.atan2(self.c, self.a))

    def corner_departure(self, width: int, height: int) -> float:
        """Largest distance, in pixels, from the nearest pure translation over a frame's corners.

        Parameters
        ----------
        width, height : int
            Size of the template, pixels.

        Returns
        -------
        float
            Zero for a pure shift; a stack by integer shifts blurs by this much.
        """
        x = np.array([0.0, width - 1.0, 0.0, width - 1.0])
        y = np.array([0.0, 0.0, height - 1.0, height - 1.0])
        moved_x, moved_y = self.apply(x, y)
        step_x, step_y = moved_x - x, moved_y - y
        return float(np.hypot(step_x - step_x.mean(), step_y - step_y.mean()).max())
