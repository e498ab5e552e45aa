"""How many injected events a search finds, and how far what it measures is from the truth."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from tianyu.pipelines.science.arrays import BoolArray, FloatArray
from tianyu.pipelines.science.scatter import mad_sigma


@dataclass(frozen=True)
class Completeness:
    """Recovered over injected in one bin, and the errors of what was recovered."""

    n_injected: int
    n_recovered: int
    low: float
    """Of the central 68 % interval of the fraction (Jeffreys)."""
    high: float
    size_bias: float
    """Median of measured over injected depth or amplitude, minus 1; NaN with none recovered."""
    size_bias_error: float
    size_pull: float
    """Robust standard deviation of the errors of the size in units of those stated."""
    time_bias_min: float
    """Median error of the mid-time, minutes."""
    time_error_min: float
    """Root mean square error of the mid-time, minutes, 4σ outliers clipped."""
    time_over_fisher: float
    """That of errors divided by the Fisher limit of each: 1 is the best there is."""

    @property
    def fraction(self) -> float:
        """Recovered over injected."""
        return self.n_recovered / self.n_injected if self.n_injected else float("nan")


def measure_completeness(
    recovered: BoolArray,
    injected_size: FloatArray,
    size: FloatArray,
    size_error: FloatArray,
    time_error_days: FloatArray,
    fisher_days: FloatArray,
) -> Completeness:
    """Summarise the events of one bin.

    Parameters
    ----------
    recovered : ndarray of bool, shape (n,)
    injected_size, size, size_error : ndarray, shape (n,)
        Depths or amplitudes.
    time_error_days : ndarray, shape (n,)
        Measured minus injected mid-time; NaN where an event has none.
    fisher_days : ndarray, shape (n,)
        Fisher limit of each.

    Returns
    -------
    Completeness
    """
    n, k = len(recovered), int(np.count_nonzero(recovered))
    low, high = (float(beta.ppf(q, k + 0.5, n - k + 0.5)) for q in (0.16, 0.84))
    ratio = size[recovered] / injected_size[recovered] - 1.0
    pull = (size - injected_size)[recovered] / size_error[recovered]
    minutes = 1440.0 * time_error_days[recovered]
    return Completeness(
        n_injected=n,
        n_recovered=k,
        low=low if k else 0.0,
        high=high if k < n else 1.0,
        size_bias=float(np.median(ratio)) if k else float("nan"),
        # The median of normal values has 1.25 times the error of their mean.
        size_bias_error=1.2533 * float(mad_sigma(ratio)) / np.sqrt(k) if k > 1 else float("nan"),
        size_pull=float(mad_sigma(pull)) if k > 1 else float("nan"),
        time_bias_min=float(np.nanmedian(minutes)) if np.isfinite(minutes).any() else float("nan"),
        time_error_min=_clipped_rms(minutes),
        time_over_fisher=_clipped_rms(time_error_days[recovered] / fisher_days[recovered]),
    )


def _clipped_rms(values: FloatArray) -> float:
    values = values[np.isfinite(values)]
    if values.size < 2:
        return float("nan")
    kept = values[np.abs(values - np.median(values)) <= 4.0 * max(float(mad_sigma(values)), 1e-12)]
    return float(np.sqrt(np.mean(kept**2))) if kept.size else float("nan")
