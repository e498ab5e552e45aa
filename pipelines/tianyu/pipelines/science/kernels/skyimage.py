"""The sky of every pixel: the natural cubic spline of the mesh, row by row.

Between two nodes of the mesh the spline along a row is one cubic, so a pixel costs three
multiplications; :meth:`~tianyu.pipelines.science.sky.SkyModel.image` sums over all nodes.
"""

from functools import lru_cache

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, FloatImage, IntArray
from tianyu.pipelines.science.kernels.jit import compiled
from tianyu.pipelines.science.meshspline import curvatures, spline_terms
from tianyu.pipelines.science.sky import SkyModel


@lru_cache(maxsize=8)
def _row_terms(n_nodes: int, box: int, size: int) -> tuple[IntArray, FloatArray]:
    """Nodes about every row and their factors; the same for all frames of a camera."""
    nodes, terms = spline_terms(n_nodes, box, np.arange(size, dtype=np.float64))
    nodes.setflags(write=False)
    terms.setflags(write=False)
    return nodes, terms


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
    cubics = np.empty((sky.shape[0], nx_nodes, 4), np.float32)
    surfaces = np.empty((4, ny_nodes, nx_nodes))
    _fill_surfaces(
        sky.mesh.astype(np.float64), curvatures(ny_nodes), curvatures(nx_nodes), surfaces
    )
    _fill_cubics(*_row_terms(ny_nodes, sky.box_pix[0], sky.shape[0]), surfaces, cubics)
    return cubics


@compiled
def _fill_surfaces(
    mesh: FloatArray, along_y: FloatArray, along_x: FloatArray, surfaces: FloatArray
) -> None:
    """Write a mesh and its second derivatives along y, along x and along both."""
    n_rows, n_columns = mesh.shape
    surfaces[0], surfaces[1:] = mesh, 0.0
    for j in range(n_rows):
        for k in range(n_rows):
            for i in range(n_columns):
                surfaces[1, j, i] += along_y[j, k] * mesh[k, i]
    for half in range(2):
        for j in range(n_rows):
            for i in range(n_columns):
                total = 0.0
                for k in range(n_columns):
                    total += along_x[i, k] * surfaces[half, j, k]
                surfaces[2 + half, j, i] = total


@compiled
def _fill_cubics(
    nodes: IntArray, terms: FloatArray, surfaces: FloatArray, cubics: FloatImage
) -> None:
    n_nodes = surfaces.shape[2]
    value, second = np.empty(n_nodes), np.empty(n_nodes)
    for y in range(cubics.shape[0]):
        above, below = nodes[0, y], nodes[1, y]
        a, b, c, d = terms[0, y], terms[1, y], terms[2, y], terms[3, y]
        for node in range(n_nodes):
            value[node] = (
                a * surfaces[0, above, node]
                + b * surfaces[0, below, node]
                + c * surfaces[1, above, node]
                + d * surfaces[1, below, node]
            )
            second[node] = (
                a * surfaces[2, above, node]
                + b * surfaces[2, below, node]
                + c * surfaces[3, above, node]
                + d * surfaces[3, below, node]
            )
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
