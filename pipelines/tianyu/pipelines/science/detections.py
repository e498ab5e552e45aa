"""The sources found on one template."""

import math
from dataclasses import dataclass, fields

import numpy as np

from tianyu.pipelines.science.arrays import AnyArray, FloatArray


@dataclass(frozen=True)
class Detections:
    """Sources of one template, brightest first; every column is of shape (n,).

    Attributes
    ----------
    x, y : FloatArray
        Windowed centroids, 0-based pixels of the template.
    flux : FloatArray
        Sum within one FWHM of the centroid, in the unit of the template.
    peak : FloatArray
        Highest pixel above the background.
    fwhm_pix : FloatArray
        Twice the radius of half the light: the FWHM of a Gaussian.
    elongation : FloatArray
        Major over minor axis of the second moments.
    snr : FloatArray
        Flux over its background noise.
    """

    x: FloatArray
    y: FloatArray
    flux: FloatArray
    peak: FloatArray
    fwhm_pix: FloatArray
    elongation: FloatArray
    snr: FloatArray

    def __len__(self) -> int:
        """Return the number of sources."""
        return len(self.x)

    def __getitem__(self, index: AnyArray) -> "Detections":
        """Return some of the sources, in the order of the index."""
        return Detections(*(getattr(self, column.name)[index] for column in fields(Detections)))

    def __add__(self, other: "Detections") -> "Detections":
        """Return the sources of both, these first."""
        pairs = ((getattr(self, c.name), getattr(other, c.name)) for c in fields(Detections))
        return Detections(*(np.concatenate(pair) for pair in pairs))

    @property
    def fwhm_pix_median(self) -> float:
        """Median width of the brighter half; NaN without sources."""
        brighter = self.fwhm_pix[: (len(self) + 1) // 2]
        return float(np.median(brighter)) if len(brighter) else math.nan
