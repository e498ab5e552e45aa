"""Registered targets among the sources of a template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import Field

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
    not_found : dict of int to str
        Why a registered target is none of the sources.
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
    not_found: dict[int, str]
    n_forced: int
    wcs: LinearWcs | None
    n_placed: int = 0


def with_targets(
    found: Detections,
    targets: Sequence[TargetPosition],
    *,
    origin: tuple[int, int],
    shape: tuple[int, int],
    transforms: Mapping[int, AffineTransform | None],
    wcs: LinearWcs | None,
    fwhm_pix: float,
) -> TemplateSources:
    """Name the registered targets: the nearest detection, else a forced position.

    A target that cannot be placed, or lies beside the template, is none of the sources; the
    others are measured all the same.

    Parameters
    ----------
    found : Detections
        In pixels of the template.
    targets : sequence of TargetPosition
    origin : (int, int)
        Reference pixel of the template's pixel (0, 0).
    shape : (int, int)
        ``(ny, nx)`` of the template.
    transforms : mapping of int to AffineTransform
        From reference to frame pixels, by image; None where a frame is not aligned.
    wcs : LinearWcs or None
        Of the template, in reference pixels.
    fwhm_pix : float
        Width of the stars, pixels.
    """
    x, y = found.x + origin[0], found.y + origin[1]
    target_of: dict[int, int] = {}
    not_found: dict[int, str] = {}
    forced: list[tuple[int, float, float]] = []
    for target in targets:
        place = _place(target, transforms, wcs)
        if isinstance(place, str):
            not_found[target.target_id] = place
            continue
        if not _is_on(place, origin, shape):
            not_found[target.target_id] = _beside(place, origin, shape)
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
        not_found=not_found,
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


def _is_on(place: tuple[float, float], origin: tuple[int, int], shape: tuple[int, int]) -> bool:
    """Tell whether a place in reference pixels is on the template."""
    x, y = place[0] - origin[0], place[1] - origin[1]
    return -0.5 <= x <= shape[1] - 0.5 and -0.5 <= y <= shape[0] - 0.5


def _beside(place: tuple[float, float], origin: tuple[int, int], shape: tuple[int, int]) -> str:
    x0, y0 = origin
    return (
        f"it is outside the frames: at pixel ({place[0]:.0f}, {place[1]:.0f}) of the reference "
        f"frame, while the stack reaches from ({x0}, {y0}) to "
        f"({x0 + shape[1] - 1}, {y0 + shape[0] - 1}); check its coordinates or its pixel"
    )


def _place(
    target: TargetPosition,
    transforms: Mapping[int, AffineTransform | None],
    wcs: LinearWcs | None,
) -> tuple[float, float] | str:
    """Return where a target stands in reference pixels, or why nothing tells."""
    by_sky = place_on_sky(target, wcs)
    if target.x is None or target.y is None:
        return by_sky if by_sky is not None else _unplaceable(target, wcs)
    if target.image_id is None:
        return target.x, target.y
    transform = transforms.get(target.image_id)
    if transform is None:
        if by_sky is not None:
            return by_sky
        return (
            f"its pixel is given in image {target.image_id}, which could not be aligned; give it "
            "in another frame"
        )
    x, y = transform.inverse().apply(np.array([target.x]), np.array([target.y]))
    return float(x[0]), float(y[0])


def _unplaceable(target: TargetPosition, wcs: LinearWcs | None) -> str:
    if target.ra_deg is None or target.dec_deg is None:
        return "its place is not known; give its coordinates (--ra, --dec), or a --target-pixel"
    if wcs is None:
        return (
            "no good frame has a WCS that would tell where its coordinates are; give its pixel in "
            "one of them with --target-pixel X,Y@FRAME"
        )
    return (
        f"RA {target.ra_deg:g}, Dec {target.dec_deg:g} is outside the frames, on the other side "
        "of the sky; check its coordinates"
    )


def place_on_sky(target: TargetPosition, wcs: LinearWcs | None) -> tuple[float, float] | None:
    """Return where the coordinates of a target lead; None without them, or without a WCS."""
    if wcs is None or target.ra_deg is None or target.dec_deg is None:
        return None
    x, y = wcs.to_pixel(np.array([target.ra_deg]), np.array([target.dec_deg]))
    return (float(x[0]), float(y[0])) if np.isfinite(x[0]) and np.isfinite(y[0]) else None
