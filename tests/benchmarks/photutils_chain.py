"""Opponent: calibration, sky and apertures with photutils; no alignment, no stacking."""

from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.stats import SigmaClip
from numpy.typing import NDArray
from photutils.aperture import ApertureStats, CircularAnnulus, CircularAperture, aperture_photometry
from photutils.background import Background2D
from tests.benchmarks.astropy_sep import ANNULUS_PIX, MESH_PIX, RADII_PIX, Table
from tests.benchmarks.plain_masters import FloatImage, PlainMasters


def measure_frame(raw: Path, masters: PlainMasters, positions: Table) -> NDArray[np.float64]:
    """Return fluxes of all positions in three radii, shape (n_source, n_radius).

    The sky is taken off as a mesh, then the median of an annulus around each star.
    """
    pixels = masters.calibrate(fits.getdata(raw))
    pixels = pixels - sky(pixels)
    apertures = [CircularAperture(positions, r=radius) for radius in RADII_PIX]
    annulus = CircularAnnulus(positions, *ANNULUS_PIX)
    local = ApertureStats(pixels, annulus, sigma_clip=SigmaClip(3.0)).median
    table = aperture_photometry(pixels, apertures)
    sums = [table[f"aperture_sum_{i}"] - local * a.area for i, a in enumerate(apertures)]
    return np.column_stack([np.asarray(values, dtype=np.float64) for values in sums])


def sky(pixels: FloatImage) -> NDArray[np.float64]:
    """Return the sky as a smooth mesh over the frame."""
    mesh: NDArray[np.float64] = Background2D(pixels, (MESH_PIX, MESH_PIX), filter_size=3).background
    return mesh
