"""The sky of every pixel: the natural cubic spline of the mesh, row by row.

Between two nodes of the mesh the spline along a row is one cubic, so a pixel costs three
multiplications; :meth:`~tianyu.pipelines.science.sky.SkyModel.image` sums over all nodes.
"""

from functools import lru_cache

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, FloatImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.sky import SkyModel, spline_weights


@lru_cache(maxsize=8)
def _row_weights(n_nodes: int, box: int, size: int) -> FloatArray:
    """Weights of the nodes for every row; the same for all frames of a camera."""
    weights = spline_weights(n_nodes, box, np.arange(size, dtype=np.float64))
    weights.setflags(write=False)
    return weights


@lru_cache(maxsize=8)
def _curvatures(n_nodes: int) -> FloatArray:
    """Matrix from the nodes' values to second derivatives per squared box, natural ends."""
    matrix = np.zeros((n_nodes, n_nodes))
    if n_nodes > 2:
        inner = n_nodes - 2
        system = 4.0 * np.eye(inner) + np.eye(inner, k=1) + np.eye(inner, k=-1)
        differences = np.zeros((inner, n_nodes))
        rows = np.arange(inner)
        differences[rows, rows], differences[rows, rows + 2] = 6.0, 6.0
        differences[rows, rows + 1] = -12.0
        matrix[1:-1] = np.linalg.solve(system, differences)
    matrix = np.ascontiguousarray(matrix.T)
    matrix.setflags(write=False)
    return matrix


def row_cubics(sky: SkyModel) -> FloatImage:
    """Return the cubics of every row, shape ``(ny, mx, 4)``.

    Cubic l holds where pixels lie between the centres of box l and box l + 1; in units of the
    box from the former, its coefficients rise in power. The last one is the straight line beyond
    the last node; before the first node cubic 0 is to be taken as the line of its first two.

    Examples
    --------
    >>> mesh = np.array([[1.0, 3.0, 5.0]], np.float32)
    >>> row_cubics(SkyModel(mesh, mesh, (10, 10), (10, 30)))[0, :, :2].tolist()
    [[1.0, 2.0], [3.0, 2.0], [5.0, 2.0]]
    """
    ny_nodes, nx_nodes = sky.mesh.shape
    weights = _row_weights(ny_nodes, sky.box_pix[0], sky.shape[0])
    cubics = np.empty((sky.shape[0], nx_nodes, 4), np.float32)
    _fill_cubics(weights, sky.mesh.astype(np.float64), _curvatures(nx_nodes), cubics)
    return cubics


@compiled
def _fill_cubics(
    weights: FloatArray, mesh: FloatArray, curvatures: FloatArray, cubics: FloatImage
) -> None:
    n_rows, n_nodes = mesh.shape
    value, second = np.empty(n_nodes), np.empty(n_nodes)
    for y in range(cubics.shape[0]):
        value[:], second[:] = 0.0, 0.0
        for k in range(n_rows):
            weight = weights[y, k]
            for node in range(n_nodes):
                value[node] += weight * mesh[k, node]
        for k in range(n_nodes):
            this = value[k]
            for node in range(n_nodes):
                second[node] += this * curvatures[k, node]
        slope = 0.0
        for node in range(n_nodes - 1):
            step = value[node + 1] - value[node]
            slope = step - (2.0 * second[node] + second[node + 1]) / 6.0
            cubics[y, node, 0] = value[node]
            cubics[y, node, 1] = slope
            cubics[y, node, 2] = 0.5 * second[node]
            cubics[y, node, 3] = (second[node + 1] - second[node]) / 6.0
            slope = step + (second[node] + 2.0 * second[node + 1]) / 6.0
        cubics[y, n_nodes - 1] = 0.0
        cubics[y, n_nodes - 1, 0] = value[n_nodes - 1]
        cubics[y, n_nodes - 1, 1] = slope


@lru_cache(maxsize=8)
def row_places(n_nodes: int, box: int, nx: int) -> FloatImage:
    """Place of every pixel of a row within its cubic, in boxes, shape ``(nx,)``.

    >>> row_places(2, 4, 8).tolist()
    [-0.375, -0.125, 0.125, 0.375, 0.625, 0.875, 0.125, 0.375]
    """
    pixel = np.arange(nx)
    node = np.clip((pixel + box - box // 2) // box - 1, 0, n_nodes - 1)
    places = (((pixel + 0.5) - (node + 0.5) * box) / box).astype(np.float32)
    places.setflags(write=False)
    return places


@compiled
def sky_row(cubics: FloatImage, box: int, places: FloatImage, row: FloatImage) -> None:
    """Write the sky of one row of pixels.

    Parameters
    ----------
    cubics : ndarray of float32, shape (mx, 4)
        Of this row.
    box : int
        Width of a box, pixels.
    places : ndarray of float32, shape (nx,)
        Of :func:`row_places`.
    row : ndarray of float32, shape (nx,)
        Written.
    """
    n_nodes, left = cubics.shape[0], 0
    for node in range(-1, n_nodes):
        right = row.size if node == n_nodes - 1 else min(row.size, (node + 1) * box + box // 2)
        if right <= left:
            continue
        cubic, t, part = cubics[max(node, 0)], places[left:right], row[left:right]
        a, b = cubic[0], cubic[1]
        if node < 0:
            for i in range(part.size):
                part[i] = a + b * t[i]
        else:
            c, d = cubic[2], cubic[3]
            for i in range(part.size):
                part[i] = a + t[i] * (b + t[i] * (c + t[i] * d))
        left = right
