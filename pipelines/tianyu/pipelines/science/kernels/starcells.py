"""Which stars' disks reach into a ring: stars are kept by the cell of the frame they stand in."""

import math
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, FloatImage, IntArray
from tianyu.pipelines.science.footprints import Footprints
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.kernels.ringpixels import strike_out

CELL_PIX = 64
"""Side of a cell: about that of the squares about sources that are asked for."""


@dataclass(frozen=True, eq=False)
class StarCells:
    """Disks of stars in the order of the cells of a frame.

    Attributes
    ----------
    disks : ndarray of float64, shape (3, n)
        x, y and radius, pixels.
    starts : ndarray of int64, shape (k, l + 1)
        Where the disks of each cell start in its row of cells, and where those of the last end.
        A star beyond the edge is in the nearest cell.
    """

    disks: FloatArray
    starts: IntArray

    @classmethod
    def of(cls, stars: Footprints | None, shape: tuple[int, int]) -> "StarCells":
        """Sort the stars of a frame of shape ``(ny, nx)``; None has no disks."""
        ny, nx = (max(1, -(-size // CELL_PIX)) for size in shape)
        starts = np.zeros((ny, nx + 1), np.int64)
        if stars is None:
            return cls(np.empty((3, 0)), starts)
        known = np.isfinite(stars.x) & np.isfinite(stars.y)
        disks = np.stack([stars.x, stars.y, stars.radius])[:, known]
        row, column = (
            np.clip(position // CELL_PIX, 0, n - 1).astype(np.int64)
            for position, n in ((disks[1], ny), (disks[0], nx))
        )
        cell = row * nx + column
        before = np.cumsum(np.bincount(cell, minlength=ny * nx))
        starts[:, 1:] = before.reshape(ny, nx)
        starts[1:, 0] = starts[:-1, nx]
        return cls(np.ascontiguousarray(disks[:, np.argsort(cell, kind="stable")]), starts)

    @property
    def arguments(self) -> tuple[FloatArray, IntArray, float]:
        """The kernels' arguments: disks, where cells start, and the largest radius."""
        return self.disks, self.starts, float(self.disks[2].max(initial=0.0))


@compiled
def strike_out_stars(
    disks: FloatArray,
    starts: IntArray,
    largest: float,
    row: int,
    column: int,
    hole_pix: float,
    spans: IntArray,
    ring: FloatImage,
) -> None:
    """Put NaN for the pixels of a ring that stars cover.

    Parameters
    ----------
    disks, starts, largest
        Of :class:`StarCells`.
    row, column : int
        Middle of the ring.
    hole_pix, spans, ring
        Of :class:`~.ringpixels.RingLayout`, and its pixels.
    """
    if disks.shape[1] == 0:
        return
    outer = -spans[0, 0] + 1.0
    reach = outer + largest
    n_rows, n_columns = starts.shape[0], starts.shape[1] - 1
    first_row = min(max(math.floor((row - reach) / CELL_PIX), 0), n_rows - 1)
    last_row = min(max(math.floor((row + reach) / CELL_PIX), 0), n_rows - 1)
    first = min(max(math.floor((column - reach) / CELL_PIX), 0), n_columns - 1)
    last = min(max(math.floor((column + reach) / CELL_PIX), 0), n_columns - 1)
    for cell_row in range(first_row, last_row + 1):
        for k in range(starts[cell_row, first], starts[cell_row, last + 1]):
            x, y, radius = disks[0, k], disks[1, k], disks[2, k]
            distance = math.hypot(x - column, y - row)
            # Not those that reach no pixel of the ring: the source's own, mostly.
            if hole_pix - radius <= distance <= 1.5 * outer + radius:
                strike_out(spans, ring, row, column, x, y, radius)
