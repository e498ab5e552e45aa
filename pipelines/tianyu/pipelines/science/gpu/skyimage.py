"""The sky of every pixel, as two small matrix products."""

from functools import lru_cache

import numpy as np

from tianyu.pipelines.science.gpu.namespace import ArrayNamespace, DeviceArray
from tianyu.pipelines.science.sky import SkyModel, spline_weights

AXES = 8
"""Weights that are kept: two axes of frames of a few sizes."""


def sky_image(sky: SkyModel, xp: ArrayNamespace) -> DeviceArray:
    """Return the sky level of every pixel, ADU, array of float32, shape ``(ny, nx)``.

    A natural cubic spline is linear in its nodes and separable: what a row of pixels is made of is
    one row of a matrix. So a few kilobytes of mesh are uploaded, and libraries that multiply
    matrices do the rest; a spline evaluated pixel by pixel would be a kernel of our own.

    Parameters
    ----------
    sky : SkyModel
    xp : namespace

    Examples
    --------
    >>> mesh = np.array([[1.0, 3.0, 5.0]], np.float32)
    >>> sky_image(SkyModel(mesh, mesh, (10, 2), (1, 6)), np).tolist()
    [[0.5, 1.5, 2.5, 3.5, 4.5, 5.5]]
    """
    # Of the departures from one level, or a product in float32 would lose digits to it.
    level = np.float32(sky.level)
    along_y, along_x = (
        _pixel_weights(nodes, box, size, xp)
        for nodes, box, size in zip(sky.mesh.shape, sky.box_pix, sky.shape, strict=True)
    )
    image = along_y @ xp.asarray(sky.mesh - level) @ along_x.T
    image += float(level)
    return image


@lru_cache(maxsize=AXES)
def _pixel_weights(n_nodes: int, box: int, size: int, xp: ArrayNamespace) -> DeviceArray:
    """Weights of the nodes for every pixel of an axis, shape ``(size, n_nodes)``."""
    weights = spline_weights(n_nodes, box, np.arange(size, dtype=np.float64))
    return xp.asarray(weights.astype(np.float32))
