"""Single points far from those about them: cosmic rays, satellites, a bad frame."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.scatter import finite_median, point_to_point_sigma

SPIKE_SIGMA, SPIKE_WINDOW = 5.0, 5


def without_spikes(flux: FloatArray) -> FloatArray:
    """Replace one or two points far from those about them by NaN: cosmic rays, satellites.

    Parameters
    ----------
    flux : ndarray, shape (n_source, n_frame)
        In order of time.

    Returns
    -------
    ndarray, shape (n_source, n_frame)
        Points farther from the running median of five than five times the scatter of the
        differences of successive points are NaN. A steep ingress passes: the median of what
        rises or falls steadily is its middle.
    """
    if flux.shape[1] < SPIKE_WINDOW:
        return flux.copy()
    half = SPIKE_WINDOW // 2
    padded = np.pad(flux, ((0, 0), (half, half)), mode="reflect")
    running = finite_median(sliding_window_view(padded, SPIKE_WINDOW, axis=1))
    sigma = point_to_point_sigma(flux)[:, None]
    return np.where(np.abs(flux - running) > SPIKE_SIGMA * sigma, np.nan, flux)
