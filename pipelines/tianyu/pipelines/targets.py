"""Registered targets among the sources of a template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.detections import Detections
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.science.wcs import LinearWcs
from tianyu.pipelines.step import StepParameters

TARGET_REACH_FWHM = 2.0
"""A target's registered position is good to about a star's width; farther is another star."""


POSITION_KIND = "position"
"""Kind of a target that is a place to be measured as it is given, whatever stands there."""


class TargetPosition(StepParameters):
    """Where a registered target is expected."""

    target_id: int
    name: str | None = Field(None, description="for the line that says it cannot be measured")
    is_forced: bool = Field(False, description="measured exactly here, whatever was detected")
    image_id: int | None = Field(None, description="frame in which x and y are counted")
    x: float | None = Field(None, description="0-based pixel")
    y: float | None = Field(None, description="0-based pixel")
    ra_deg: float | None = Field(None, ge=0, lt=360)
    dec_deg: float | None = Field(None, ge=-90, le=90)


@dataclass(frozen=True)
class TemplateSources:
    """Sources of a template in reference pixels; forced positions come last.

    Attributes
    ----------
    x, y, flux, peak, fwhm_pix, elongation, snr : ndarray, shape (n,)
        As detected; all but the position are NaN for forced ones.
    target_of : dict of int to int
        Registered target by index.
    n_forced : int
        How many of the last ones were placed, not detected.
    n_placed : int
        How many of these, at the very end, are places that a person wants measured as they are;
        the others are targets that were not found.
    wcs : LinearWcs or None
        Of the template, in reference pixels.
    """

    x: FloatArray
    y: FloatArray
    flux: FloatArray
    peak: FloatArray
    fwhm_pix: FloatArray
    elongation: FloatArray
    snr: FloatArray
    target_of: dict[int, int]
    n_forced: int
    wcs: LinearWcs | None
    n_placed: int = 0


def with_targets(
    found: Detections,
    targets: Sequence[TargetPosition],
    *,
    origin: tuple[int, int],
    transforms: Mapping[int, AffineTransform | None],
    wcs: LinearWcs | None,
    fwhm_pix: float,
) -> TemplateSources:
    """Name the registered targets: the nearest detection, else a forced position.

    Parameters
    ----------
    found : Detections
        In pixels of the template.
    targets : sequence of TargetPosition
    origin : (int, int)
        Reference pixel of the template's pixel (0, 0).
    transforms : mapping of int to AffineTransform
        From reference to frame pixels, by image; None where a frame is not aligned.
    wcs : LinearWcs or None
        Of the template, in reference pixels.
    fwhm_pix : float
        Width of the stars, pixels.

    Raises
    ------
    UnusableDataError
        If a position is given in a frame that could not be aligned, and no coordinates tell.
    """
    x, y = found.x + origin[0], found.y + origin[1]
    target_of: dict[int, int] = {}
    forced: list[tuple[int, float, float]] = []
    for target in targets:
        place = _place(target, transforms, wcs)
        if place is None:
            continue
        nearest = _nearest(x, y, place, TARGET_REACH_FWHM * fwhm_pix)
        # Two targets may be one detection: the second is measured where it was placed.
        if nearest is not None and nearest not in target_of:
            target_of[nearest] = target.target_id
        else:
            forced.append((target.target_id, *place))
    for i, (target_id, _, _) in enumerate(forced):
        target_of[len(x) + i] = target_id
    nan = np.full(len(forced), np.nan)
    return TemplateSources(
        x=np.append(x, [place[1] for place in forced]),
        y=np.append(y, [place[2] for place in forced]),
        flux=np.append(found.flux, nan),
        peak=np.append(found.peak, nan),
        fwhm_pix=np.append(found.fwhm_pix, nan),
        elongation=np.append(found.elongation, nan),
        snr=np.append(found.snr, nan),
        target_of=target_of,
        n_forced=len(forced),
        wcs=wcs,
    )


def _nearest(
    x: FloatArray, y: FloatArray, place: tuple[float, float], reach_pix: float
) -> int | None:
    """Return the nearest position within reach, None if there is none."""
    if not len(x):
        return None
    distance = np.hypot(x - place[0], y - place[1])
    nearest = int(np.argmin(distance))
    return nearest if distance[nearest] <= reach_pix else None


def _place(
    target: TargetPosition,
    transforms: Mapping[int, AffineTransform | None],
    wcs: LinearWcs | None,
) -> tuple[float, float] | None:
    """Return where a target stands in reference pixels; None when nothing tells."""
    by_sky = place_on_sky(target, wcs)
    if target.x is None or target.y is None:
        return by_sky
    if target.image_id is None:
        return target.x, target.y
    transform = transforms.get(target.image_id)
    if transform is None:
        if by_sky is not None:
            return by_sky
        raise UnusableDataError(
            f"the target's position is given in image {target.image_id}, which could "
            "not be aligned; give it in another frame"
        )
    x, y = transform.inverse().apply(np.array([target.x]), np.array([target.y]))
    return float(x[0]), float(y[0])


def place_on_sky(target: TargetPosition, wcs: LinearWcs | None) -> tuple[float, float] | None:
    """Return where the coordinates of a target lead; None without them, or without a WCS."""
    if wcs is None or target.ra_deg is None or target.dec_deg is None:
        return None
    x, y = wcs.to_pixel(np.array([target.ra_deg]), np.array([target.dec_deg]))
    return (float(x[0]), float(y[0])) if np.isfinite(x[0]) and np.isfinite(y[0]) else None
