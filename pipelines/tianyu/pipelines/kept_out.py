"""What a stack leaves out of the frames that enter it: light that only one of them has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from tianyu.pipelines.measuring import MeasuredFrame, mark_cosmic_rays, mark_trails_between
from tianyu.pipelines.science.starlist import StarList

WITHOUT_TRAILS, WITHOUT_COSMIC_RAYS = "without_trails", "without_cosmic_rays"


@dataclass(frozen=True)
class KeptOut:
    """What is looked for in a frame before it is stacked.

    Attributes
    ----------
    trails : bool
        Whether trails of satellites are.
    cosmic_ray_gain : float or None
        Electrons per ADU with which cosmic rays are; None: they are not.
    """

    trails: bool = False
    cosmic_ray_gain: float | None = None

    def mark(self, image: MeasuredFrame, stars: StarList) -> MeasuredFrame:
        """Return a frame with what is found in its mask, its own stars being known."""
        if self.trails:
            image = mark_trails_between(image, stars)
        if self.cosmic_ray_gain is not None:
            image = mark_cosmic_rays(image, self.cosmic_ray_gain)
        return image

    def cards(self) -> dict[str, bool | float | None]:
        """Return what a partial stack remembers, for who adds or subtracts a frame later."""
        return {WITHOUT_TRAILS: self.trails, WITHOUT_COSMIC_RAYS: self.cosmic_ray_gain}

    @classmethod
    def from_cards(cls, header: Mapping[str, Any]) -> Self:
        """Read it back; a stack without a word left nothing out."""
        return cls(bool(header.get(WITHOUT_TRAILS, False)), header.get(WITHOUT_COSMIC_RAYS))


NOTHING = KeptOut()
"""Frames are stacked with all that is in them."""
