"""Filling and smoothing a mesh as Source Extractor does before its spline."""

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.kernels.jit import compiled


@compiled
def fill_bad_boxes(mesh: FloatArray) -> None:
    """Replace NaN by the mean of the nearest boxes that are known; at least one is.

    Parameters
    ----------
    mesh : ndarray, shape (my, mx)
        Changed.
    """
    ny, nx = mesh.shape
    known = mesh.copy()
    for y in range(ny):
        for x in range(nx):
            if known[y, x] == known[y, x]:
                continue
            nearest, total, n = ny * ny + nx * nx, 0.0, 0
            for j in range(ny):
                for i in range(nx):
                    distance = (j - y) * (j - y) + (i - x) * (i - x)
                    if known[j, i] == known[j, i] and distance <= nearest:
                        if distance < nearest:
                            nearest, total, n = distance, 0.0, 0
                        total += known[j, i]
                        n += 1
            mesh[y, x] = total / n


@compiled
def median_filtered(mesh: FloatArray) -> FloatArray:
    """Return the medians of 3 × 3 boxes; at an edge of the boxes along it only.

    Parameters
    ----------
    mesh : ndarray, shape (my, mx)

    Examples
    --------
    >>> median_filtered(np.array([[1.0, 9.0, 2.0], [5.0, 9.0, 5.0], [3.0, 9.0, 4.0]])).tolist()
    [[1.0, 2.0, 2.0], [3.0, 5.0, 4.0], [3.0, 4.0, 4.0]]
    """
    ny, nx = mesh.shape
    filtered = np.empty((ny, nx))
    window = np.empty(9)
    for y in range(ny):
        reach_y = 1 if 0 < y < ny - 1 else 0
        for x in range(nx):
            reach_x = 1 if 0 < x < nx - 1 else 0
            n = 0
            for j in range(y - reach_y, y + reach_y + 1):
                for i in range(x - reach_x, x + reach_x + 1):
                    value, k = mesh[j, i], n
                    while k > 0 and window[k - 1] > value:
                        window[k] = window[k - 1]
                        k -= 1
                    window[k] = value
                    n += 1
            filtered[y, x] = window[n // 2]
    return filtered
