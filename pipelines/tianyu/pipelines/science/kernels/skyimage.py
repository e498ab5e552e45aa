"""The sky of every pixel: the natural cubic spline of the mesh, row by row.

Between two nodes of the mesh the spline along a row is one cubic, so a pixel costs three
multiplications; :meth:`~tianyu.pipelines.science.sky.SkyModel.image` sums over all nodes.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, FloatImage
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.meshspline import curvatures
from tianyu.pipelines.science.sky import SkyModel


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
    mesh = sky.mesh.astype(np.float64)
    # The second derivatives along rows are as smooth down the columns as the values are.
    along_rows = mesh_product(mesh, np.array(curvatures(nx_nodes).T, order="C"))
    down_columns = np.array(curvatures(ny_nodes))
    places = row_places(ny_nodes, sky.box_pix[0], sky.shape[0], np.float64)
    cubics = np.empty((sky.shape[0], nx_nodes, 4), np.float32)
    _fill_cubics(
        mesh,
        mesh_product(down_columns, mesh),
        along_rows,
        mesh_product(down_columns, along_rows),
        sky.box_pix[0],
        places,
        cubics,
    )
    return cubics


@compiled
def mesh_product(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return the product of two small matrices, its sums in one order on every processor."""
    product = np.zeros((left.shape[0], right.shape[1]))
    for i in range(left.shape[0]):
        for k in range(right.shape[0]):
            factor = left[i, k]
            for j in range(right.shape[1]):
                product[i, j] += factor * right[k, j]
    return product


@compiled
def _fill_cubics(
    mesh: FloatArray,
    bend: FloatArray,
    second: FloatArray,
    second_bend: FloatArray,
    box: int,
    places: FloatArray,
    cubics: FloatImage,
) -> None:
    """Write the cubics of all rows.

    `mesh` holds the values at the nodes and `second` their second derivatives along the rows;
    `bend` and `second_bend` are the second derivatives of both down the columns.
    """
    n_rows, n_nodes = mesh.shape
    value, curvature = np.empty(n_nodes), np.empty(n_nodes)
    for y in range(cubics.shape[0]):
        k = min(max((y + box - box // 2) // box - 1, 0), n_rows - 1)
        is_line = (k == 0 and places[y] < 0.0) or k == n_rows - 1
        _interpolate(mesh, bend, k, places[y], is_line, value)
        _interpolate(second, second_bend, k, places[y], is_line, curvature)
        for node in range(n_nodes - 1):
            step = value[node + 1] - value[node]
            slope = step - (2.0 * curvature[node] + curvature[node + 1]) / 6.0
            cubics[y, node, 0] = value[node]
            cubics[y, node, 1] = slope
            cubics[y, node, 2] = 0.5 * curvature[node]
            cubics[y, node, 3] = (curvature[node + 1] - curvature[node]) / 6.0
        last, slope = n_nodes - 1, 0.0
        if last > 0:
            slope = value[last] - value[last - 1]
            slope += (curvature[last - 1] + 2.0 * curvature[last]) / 6.0
        cubics[y, last, 0], cubics[y, last, 1] = value[last], slope
        cubics[y, last, 2], cubics[y, last, 3] = 0.0, 0.0


@compiled
def _interpolate(
    nodes: FloatArray, bend: FloatArray, k: int, t: float, is_line: bool, found: FloatArray
) -> None:
    """Write the splines through the columns of nodes at t boxes below row k; lines at the ends."""
    for i in range(found.size):
        if nodes.shape[0] == 1:
            found[i] = nodes[0, i]
            continue
        above = min(k, nodes.shape[0] - 2)
        step = nodes[above + 1, i] - nodes[above, i]
        if is_line and k > above:
            slope = step + (bend[above, i] + 2.0 * bend[k, i]) / 6.0
            found[i] = nodes[k, i] + t * slope
            continue
        slope = step - (2.0 * bend[above, i] + bend[above + 1, i]) / 6.0
        found[i] = nodes[above, i] + t * slope
        if not is_line:
            cubic = (bend[above + 1, i] - bend[above, i]) / 6.0
            found[i] += t * t * (0.5 * bend[above, i] + t * cubic)


@lru_cache(maxsize=8)
def row_places(
    n_nodes: int, box: int, nx: int, dtype: type[np.floating[Any]] = np.float32
) -> FloatImage:
    """Place of every pixel of a row within its cubic, in boxes, shape ``(nx,)``.

    >>> row_places(2, 4, 8).tolist()
    [-0.375, -0.125, 0.125, 0.375, 0.625, 0.875, 0.125, 0.375]
    """
    pixel = np.arange(nx)
    node = np.clip((pixel + box - box // 2) // box - 1, 0, n_nodes - 1)
    places = (((pixel + 0.5) - (node + 0.5) * box) / box).astype(dtype)
    places.setflags(write=False)
    return places


@compiled
def sky_run(
    cubics: FloatImage, box: int, places: FloatImage, left: int, right: int, row: FloatImage
) -> None:
    """Write the sky of the pixels left to right − 1 of a row.

    Parameters
    ----------
    cubics : ndarray of float32, shape (mx, 4)
        Of this row.
    box : int
        Width of a box, pixels.
    places : ndarray of float32, shape (nx,)
        Of :func:`row_places`.
    left, right : int
    row : ndarray of float32, shape (nx,)
        Written.
    """
    n_nodes = cubics.shape[0]
    while left < right:
        node = min((left + box - box // 2) // box - 1, n_nodes - 1)
        end = right if node == n_nodes - 1 else min(right, (node + 1) * box + box // 2)
        cubic = max(node, 0)
        a, b = cubics[cubic, 0], cubics[cubic, 1]
        # Before the first node it is a line.
        c = cubics[cubic, 2] if node >= 0 else np.float32(0.0)
        d = cubics[cubic, 3] if node >= 0 else np.float32(0.0)
        for x in range(np.uint64(left), np.uint64(end)):
            t = places[x]
            row[x] = a + t * (b + t * (c + t * d))
        left = end
