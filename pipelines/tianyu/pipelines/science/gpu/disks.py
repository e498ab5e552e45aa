"""The disks that hold the light of known stars, marked where the frame is."""

import numpy as np

from tianyu.pipelines.science.footprints import Footprints
from tianyu.pipelines.science.gpu.namespace import ArrayNamespace, DeviceArray

AT_ONCE = 2**22
"""Pixels about stars that are looked at together: 0.1 GB of intermediate arrays."""


def covered(stars: Footprints, shape: tuple[int, int], xp: ArrayNamespace) -> DeviceArray:
    """Return which pixels of a frame ``(ny, nx)`` the disks cover, array of uint8, 1 or 0.

    As :meth:`~tianyu.pipelines.science.footprints.Footprints.covered`. Only places and radii are
    uploaded.

    Examples
    --------
    >>> star = Footprints(np.array([2.0]), np.array([1.0]), np.array([1.0]))
    >>> covered(star, (3, 4), np).tolist()
    [[0, 0, 1, 0], [0, 1, 1, 1], [0, 0, 1, 0]]
    """
    ny, nx = shape
    # One place more, for all pixels that are not marked.
    marks = xp.zeros(ny * nx + 1, xp.uint8)
    table = np.stack([stars.x, stars.y, stars.radius]).astype(np.float64)
    table = table[:, np.isfinite(table).all(axis=0) & (abs(table[:2]) < 1e6).all(axis=0)]
    # The squares about stars of one call are as large as the largest: of like radii together.
    table = table[:, np.argsort(table[2])]
    start = 0
    while start < table.shape[1]:
        fitting = 4 * np.ceil(table[2, start:] + 1) ** 2 * np.arange(1, table.shape[1] - start + 1)
        n = max(1, int(np.searchsorted(fitting, AT_ONCE, side="right")))
        _mark(marks, table[:, start : start + n], shape, xp)
        start += n
    return marks[:-1].reshape(ny, nx)


def _mark(
    marks: DeviceArray, table: DeviceArray, shape: tuple[int, int], xp: ArrayNamespace
) -> None:
    """Write ones at the pixels of disks: x, y, radius, shape (3, n), on the host."""
    ny, nx = shape
    reach = int(np.ceil(table[2].max())) + 1
    offset = xp.arange(-reach, reach + 1)
    x, y, radius = (xp.asarray(column)[:, np.newaxis] for column in table)
    columns = xp.rint(x).astype(xp.int64) + offset
    rows = xp.rint(y).astype(xp.int64) + offset
    near_x = xp.where((columns >= 0) & (columns < nx), (columns - x) ** 2, xp.inf)
    near_y = xp.where((rows >= 0) & (rows < ny), (rows - y) ** 2, xp.inf)
    distance2 = near_y[:, :, np.newaxis] + near_x[:, np.newaxis, :]
    is_within = distance2 <= (radius**2)[:, :, np.newaxis]
    places = rows[:, :, np.newaxis] * nx + columns[:, np.newaxis, :]
    marks[xp.where(is_within, places, ny * nx)] = 1
