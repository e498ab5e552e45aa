"""The circles and the ring in which a source is measured."""

import math
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class ApertureGeometry:
    """Rising aperture radii, and the ring of the local background outside them, in pixels.

    Raises
    ------
    ValueError
        If the radii are not positive and rising, or the annulus reaches into an aperture.
    """

    radii_pix: tuple[float, ...]
    annulus_pix: tuple[float, float]

    def __post_init__(self) -> None:
        inner, outer = self.annulus_pix
        steps = zip((0.0, *self.radii_pix), self.radii_pix, strict=False)
        if not self.radii_pix or not all(smaller < larger for smaller, larger in steps):
            raise ValueError(f"the radii {self.radii_pix} pix are not positive and rising")
        if not self.radii_pix[-1] <= inner < outer < math.inf:
            raise ValueError(
                f"the annulus of {inner} to {outer} pix must be a ring outside the largest "
                f"aperture of {self.radii_pix[-1]} pix"
            )

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
