"""Why a pixel is not to be trusted: one registry of bits for the mask that travels with a frame."""

from enum import IntFlag


class MaskBit(IntFlag):
    """Bits of a pixel mask (uint8); zero is a good pixel."""

    BAD = 1
    """Dead, hot or warm in the calibration frames."""
    SATURATED = 2
    """At or above the saturation level in the raw frame."""
    NO_FLAT = 4
    """The master flat is not positive here, or too low to divide by."""
    NOT_FINITE = 8
    """NaN or infinite in the raw frame or after calibration."""
    COSMIC_RAY = 16
    """Hit by a cosmic ray in this frame."""
    TRAIL = 32
    """Under the trail of a satellite, an aeroplane or a meteor in this frame."""
