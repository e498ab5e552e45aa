"""Flags of a measured flux: one registry of bit, name and meaning.

The bits are stored in ``flux.flags``; adding one is appending a line here, changing the
meaning of one is a new bit.

>>> describe(FluxFlag.SATURATED | FluxFlag.NEAR_EDGE)
['saturated', 'near_edge']
"""

from enum import IntFlag


class FluxFlag(IntFlag):
    """What may be wrong with one flux; zero is an unflagged measurement."""

    SATURATED = 1 << 0
    """A pixel of the aperture is at or above the saturation level."""
    NEAR_EDGE = 1 << 1
    """The aperture or its annulus is cut by the edge of the detector."""
    MASKED_PIXEL = 1 << 2
    """The aperture holds a bad, flat-less or non-finite pixel."""
    BLENDED = 1 << 3
    """Another source of the template lies within the aperture's reach."""
    NEGATIVE_FLUX = 1 << 4
    """The background-subtracted flux is not positive."""
    OFF_FRAME = 1 << 5
    """The source's centre is outside the frame; flux and error are NaN."""
    NO_BACKGROUND = 1 << 6
    """Too few good pixels in the annulus; the mesh background was used alone."""
    FRAME_REJECTED = 1 << 7
    """The frame did not pass the selection of the night."""
    FILLED = 1 << 8
    """A reference star's missing epoch was filled with its mean times the transparency."""
    FEW_REFERENCES = 1 << 9
    """Fewer reference stars than wanted; neighbouring bins lent theirs."""
    FORCED = 1 << 10
    """The position was given, not detected: by a person, or that of a target not found."""
    COSMIC_RAY = 1 << 11
    """A cosmic ray has hit the aperture; its charge is in the flux."""
    TRAIL = 1 << 12
    """A trail of light crosses the aperture; its light is in the flux."""


def describe(flags: int) -> list[str]:
    """Names of the bits set in ``flags``, lowest bit first.

    Parameters
    ----------
    flags : int
        Value of the column ``flux.flags``.

    Returns
    -------
    list of str
        Lower-case names; empty for an unflagged measurement.
    """
    return [str(flag.name).lower() for flag in FluxFlag if flags & flag]
