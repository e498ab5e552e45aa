"""A natural cubic spline through evenly spaced nodes, as a few terms per position.

Between two nodes it is a·v₀ + b·v₁ + c·w₀ + d·w₁ of their values v and second derivatives w, and
these are linear in all values [1]_. So a position costs four terms, not one per node.

References
----------
.. [1] W. H. Press et al., 2007, Numerical Recipes, 3rd ed., section 3.3.
"""

from functools import lru_cache

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, FloatImage, IntArray


@lru_cache(maxsize=16)
def curvatures(n_nodes: int) -> FloatArray:
    """Return the matrix from the nodes' values to second derivatives per squared box.

    Examples
    --------
    >>> (curvatures(3) @ np.array([0.0, 1.0, 4.0])).tolist()
    [0.0, 3.0, 0.0]
    """
    matrix = np.zeros((n_nodes, n_nodes))
    if n_nodes > 2:
        inner = n_nodes - 2
        system = 4.0 * np.eye(inner) + np.eye(inner, k=1) + np.eye(inner, k=-1)
        differences = np.zeros((inner, n_nodes))
        rows = np.arange(inner)
        differences[rows, rows], differences[rows, rows + 2] = 6.0, 6.0
        differences[rows, rows + 1] = -12.0
        matrix[1:-1] = np.linalg.solve(system, differences)
    matrix.setflags(write=False)
    return matrix


def spline_terms(n_nodes: int, box: int, position: FloatArray) -> tuple[IntArray, FloatArray]:
    """Return where positions lie among the nodes, and what the nodes about them count.

    Parameters
    ----------
    n_nodes : int
        Node k is at ``(k + 1/2)·box − 1/2``.
    box : int
        Distance of the nodes, pixels.
    position : ndarray, shape (n,)
        Pixels. Beyond the outermost nodes the spline is a straight line.

    Returns
    -------
    nodes : ndarray of int64, shape (2, n)
        The node before each position and the one after it; twice the only one, if so.
    terms : ndarray, shape (4, n)
        Factors of the values at both, and of the second derivatives at both.

    Examples
    --------
    >>> nodes, terms = spline_terms(3, 10, np.array([4.5, 9.5]))
    >>> nodes.tolist(), terms.T.tolist()
    ([[0, 0], [1, 1]], [[1.0, 0.0, 0.0, 0.0], [0.5, 0.5, -0.0625, -0.0625]])
    """
    place = (position + 0.5) / box - 0.5
    node = np.clip(np.floor(place), 0, max(n_nodes - 2, 0)).astype(np.int64)
    last = max(n_nodes - 1, 0)
    if last == 0:
        terms = np.zeros((4, position.size))
        terms[0] = 1.0
        return np.stack([node, node]), terms
    t = place - node
    terms = np.stack([1.0 - t, t, ((1.0 - t) ** 3 - (1.0 - t)) / 6.0, (t**3 - t) / 6.0])
    before, after = t < 0.0, t > 1.0
    # The slopes at the outermost nodes.
    terms[2:, before] = np.outer([-1.0 / 3.0, -1.0 / 6.0], t[before])
    terms[2:, after] = np.outer([1.0 / 6.0, 1.0 / 3.0], t[after] - 1.0)
    return np.stack([node, node + 1]), terms


def interpolate(
    mesh: FloatImage, box_pix: tuple[int, int], x: FloatArray, y: FloatArray
) -> FloatArray:
    """Return the spline through a mesh at positions.

    Parameters
    ----------
    mesh : ndarray, shape (my, mx)
        Values at the nodes.
    box_pix : (int, int)
        Distance of the nodes in y and in x, pixels.
    x, y : ndarray, shape (n,)
        Pixels.

    Returns
    -------
    ndarray, shape (n,)
    """
    rows, of_rows = spline_terms(mesh.shape[0], box_pix[0], y)
    columns, of_columns = spline_terms(mesh.shape[1], box_pix[1], x)
    # The mesh, and its second derivatives along y, along x and along both.
    along_y = np.stack([mesh, curvatures(mesh.shape[0]) @ mesh])
    surfaces = np.stack([along_y, along_y @ curvatures(mesh.shape[1]).T])
    values = np.zeros(len(x))
    for row in range(2):
        for column in range(2):
            at_nodes = surfaces[:, :, rows[row], columns[column]]
            # Of second derivatives along x or not, along y or not.
            for j in range(2):
                along = (
                    of_columns[column] * at_nodes[0, j] + of_columns[2 + column] * at_nodes[1, j]
                )
                values += of_rows[2 * j + row] * along
    return values
