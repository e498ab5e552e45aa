"""What a camera does."""

from dataclasses import dataclass
from typing import Protocol

from tianyu.pipelines.errors import PermanentError
from tianyu.pipelines.science.arrays import AnyArray

CardValue = str | int | float | bool


class CameraError(PermanentError):
    """A camera did not do what it was asked for; what it had exposed is kept."""


@dataclass(frozen=True)
class CapturedFrame:
    """A frame as a camera gives it.

    Attributes
    ----------
    pixels : ndarray of uint16 or int32, shape (ny, nx)
        ADU; the first row is that of y = 0.
    cards : dict
        What the camera knows of the frame, by FITS keyword: ``(value, comment)``. ``DATE-OBS``
        and ``EXPTIME`` are always there.
    """

    pixels: AnyArray
    cards: dict[str, tuple[CardValue, str]]


class Camera(Protocol):
    """One camera that is connected."""

    def expose(self, exposure_s: float, *, is_light: bool) -> None:
        """Begin an exposure.

        Parameters
        ----------
        exposure_s : float
        is_light : bool
            Whether the shutter opens.

        Raises
        ------
        CameraError
            If the camera refuses.
        """
        ...

    def read(self) -> CapturedFrame:
        """Wait for the end of the exposure and return its frame.

        Raises
        ------
        CameraError
            If it fails, or there is none under way.
        """
        ...

    def stop(self) -> None:
        """Break off an exposure, if one is under way, and let go of the camera."""
        ...
