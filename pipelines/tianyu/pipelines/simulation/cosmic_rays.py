"""Tracks of cosmic rays: sharp, straight, of any direction."""

import numpy as np

from tianyu.pipelines.science.arrays import FloatImage
from tianyu.pipelines.simulation.streams import log_uniform

LENGTH_PIX = (0.5, 14.0)
CHARGE_E_PIX = (300.0, 6000.0)
"""Charge per pixel of the track, log-uniform; a muon leaves some 1000 e in 10 µm of silicon."""

_STEP_PIX = 0.25
"""A track is a row of charges this far apart."""


def cosmic_rays(
    shape: tuple[int, int],
    exposure_s: float,
    rate_per_megapixel_minute: float,
    rng: np.random.Generator,
) -> FloatImage:
    """Charge that cosmic rays leave in one exposure.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    exposure_s : float
        Exposure.
    rate_per_megapixel_minute : float
        Mean number of tracks.
    rng : numpy.random.Generator
        Source of their number, places, directions and energies.

    Returns
    -------
    ndarray of float32, shape (ny, nx)
        Electrons; zero nearly everywhere.
    """
    image = np.zeros(shape, dtype=np.float32)
    mean = rate_per_megapixel_minute * shape[0] * shape[1] / 1e6 * exposure_s / 60.0
    for _ in range(int(rng.poisson(mean))):
        row, column = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
        angle, length = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(*LENGTH_PIX)
        density = float(log_uniform(CHARGE_E_PIX, 1, rng)[0])
        along = np.arange(0.0, length, _STEP_PIX)
        y = np.rint(row + along * np.sin(angle)).astype(np.int64)
        x = np.rint(column + along * np.cos(angle)).astype(np.int64)
        inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
        np.add.at(image, (y[inside], x[inside]), np.float32(density * _STEP_PIX))
    return image
