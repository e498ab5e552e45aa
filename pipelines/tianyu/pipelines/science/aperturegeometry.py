"""The apertures and the ring in which a source is measured."""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from tianyu.pipelines.science.apertureshape import ROUND, ApertureShape
from tianyu.pipelines.science.arrays import FloatArray


@dataclass(frozen=True)
class ApertureGeometry:
    """Rising aperture radii, and the ring of the local background outside them, in pixels.

    Attributes
    ----------
    radii_pix : tuple of float
        Of circles; of ellipses the radii of the circles of the same area.
    annulus_pix : tuple of float
        Inner and outer radius of the ring, which is round.
    shape : ApertureShape
        Of the apertures.

    Raises
    ------
    ValueError
        If the radii are not positive and rising, or the annulus reaches into an aperture.
    """

    radii_pix: tuple[float, ...]
    annulus_pix: tuple[float, float]
    shape: ApertureShape = ROUND

    def __post_init__(self) -> None:
        inner, outer = self.annulus_pix
        steps = zip((0.0, *self.radii_pix), self.radii_pix, strict=False)
        if not self.radii_pix or not all(smaller < larger for smaller, larger in steps):
            raise ValueError(f"the radii {self.radii_pix} pix are not positive and rising")
        if not self.reach_pix[-1] <= inner < outer < math.inf:
            raise ValueError(
                f"the annulus of {inner} to {outer} pix must be a ring outside the largest "
                f"aperture of {self.reach_pix[-1]} pix"
            )

    @property
    def reach_pix(self) -> FloatArray:
        """Longest distance from the centre to each rim, shape (r,), pixels."""
        return np.array(self.radii_pix) * self.shape.reach

    @classmethod
    def from_fwhm(
        cls,
        fwhm_pix: float,
        *,
        radii_fwhm: tuple[float, ...] = (1.0, 1.5, 2.0),
        annulus_fwhm: tuple[float, float] = (3.5, 5.5),
    ) -> Self:
        """Scale the circles, given in multiples of the stars' FWHM, to pixels."""
        inner, outer = annulus_fwhm
        radii = tuple(factor * fwhm_pix for factor in radii_fwhm)
        return cls(radii, (inner * fwhm_pix, outer * fwhm_pix))
