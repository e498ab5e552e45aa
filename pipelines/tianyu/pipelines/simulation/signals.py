"""Light curves that are put into stars; times are BJD_TDB at the star."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray


@dataclass(frozen=True)
class Transit:
    """A trapezoid: full depth between second and third contact, straight flanks.

    ``duration_d`` runs from first to last contact; ingress and egress each take
    ``ingress_fraction`` of it.

    Examples
    --------
    >>> transit = Transit(star=0, mid_bjd_tdb=10.0, duration_d=0.1, depth=0.02)
    >>> transit.relative_flux(np.array([9.0, 9.9575, 10.0])).round(4).tolist()
    [1.0, 0.99, 0.98]
    """

    star: int
    mid_bjd_tdb: float
    duration_d: float
    depth: float
    ingress_fraction: float = 0.15
    kind: Literal["transit"] = "transit"

    def relative_flux(self, bjd_tdb: FloatArray) -> FloatArray:
        """Flux over the flux out of transit at these times (days), same shape."""
        from_last_contact = 0.5 * self.duration_d - np.abs(bjd_tdb - self.mid_bjd_tdb)
        ingress_d = self.ingress_fraction * self.duration_d
        return 1.0 - self.depth * np.clip(from_last_contact / ingress_d, 0.0, 1.0)


@dataclass(frozen=True)
class Pulsation:
    """A sine in magnitudes; ``epoch_bjd_tdb`` is a mean magnitude on the fading branch."""

    star: int
    epoch_bjd_tdb: float
    period_d: float
    amplitude_mag: float
    kind: Literal["pulsation"] = "pulsation"

    def relative_flux(self, bjd_tdb: FloatArray) -> FloatArray:
        """Flux over the flux of the mean magnitude at these times (days), same shape."""
        phase = (bjd_tdb - self.epoch_bjd_tdb) / self.period_d
        fading_mag = self.amplitude_mag * np.sin(2.0 * np.pi * phase)
        return np.asarray(10.0 ** (-0.4 * fading_mag), dtype=np.float64)


@dataclass(frozen=True)
class Eclipse:
    """A cosine bell: the V with a rounded tip of two stars that cover each other in part."""

    star: int
    mid_bjd_tdb: float
    duration_d: float
    depth: float
    kind: Literal["eclipse"] = "eclipse"

    def relative_flux(self, bjd_tdb: FloatArray) -> FloatArray:
        """Flux over the flux out of eclipse at these times (days), same shape."""
        part = np.clip((bjd_tdb - self.mid_bjd_tdb) / self.duration_d, -0.5, 0.5)
        return np.asarray(1.0 - self.depth * np.cos(np.pi * part) ** 2, dtype=np.float64)


Signal: TypeAlias = Transit | Pulsation | Eclipse
