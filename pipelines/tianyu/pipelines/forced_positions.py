"""Positions that a person wants measured exactly where they are, whatever was detected there.

Each becomes a source of its own, beside those detected: nothing is matched with it, nothing is
compared with it, and no star beside it is measured otherwise because of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tianyu.pipelines.frame_rows import FrameRow
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.science.wcs import LinearWcs
from tianyu.pipelines.targets import TargetPosition, TemplateSources, place_on_sky


@dataclass(frozen=True)
class PlacedPositions:
    """Positions in reference pixels, and a line for each that could not be placed."""

    target_id: tuple[int, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    refused: tuple[str, ...]


def place_positions(
    positions: Sequence[TargetPosition], frames: Sequence[FrameRow], wcs: LinearWcs | None
) -> PlacedPositions:
    """Carry positions to the reference frame; leave out what lies outside every frame.

    Parameters
    ----------
    positions : sequence of TargetPosition
        By pixel of a frame, by coordinates or both; the pixel comes first.
    frames : sequence of FrameRow
        All of the night.
    wcs : LinearWcs or None
        Of the template, in reference pixels.
    """
    aligned = [frame for frame in frames if frame.transform is not None]
    placed: list[tuple[int, float, float]] = []
    refused: list[str] = []
    for position in positions:
        place = _place(position, frames, wcs)
        line = place if isinstance(place, str) else _outside(place, aligned)
        if line is not None:
            name = position.name or f"target {position.target_id}"
            refused.append(f"position {name!r} is left out: {line}")
        elif not isinstance(place, str):
            placed.append((position.target_id, *place))
    return PlacedPositions(
        tuple(p[0] for p in placed),
        tuple(p[1] for p in placed),
        tuple(p[2] for p in placed),
        tuple(refused),
    )


def with_positions(sources: TemplateSources, placed: PlacedPositions) -> TemplateSources:
    """Append the placed positions to the sources of a template."""
    n, more = len(sources.x), len(placed.target_id)
    nan = np.full(more, np.nan)
    return replace(
        sources,
        x=np.append(sources.x, placed.x),
        y=np.append(sources.y, placed.y),
        flux=np.append(sources.flux, nan),
        peak=np.append(sources.peak, nan),
        fwhm_pix=np.append(sources.fwhm_pix, nan),
        elongation=np.append(sources.elongation, nan),
        snr=np.append(sources.snr, nan),
        target_of=sources.target_of | {n + i: t for i, t in enumerate(placed.target_id)},
        n_forced=sources.n_forced + more,
        n_placed=sources.n_placed + more,
    )


def _place(
    position: TargetPosition, frames: Sequence[FrameRow], wcs: LinearWcs | None
) -> tuple[float, float] | str:
    """Return the place in reference pixels, or why there is none."""
    by_sky = place_on_sky(position, wcs)
    if position.x is None or position.y is None:
        return by_sky or (
            "its coordinates lead to no pixel, since no frame of the night has a WCS; "
            "give it by x, y and frame"
        )
    if position.image_id is None:
        return position.x, position.y
    known: dict[int, tuple[str, AffineTransform | None]] = {
        frame.image_id: (frame.name, frame.transform) for frame in frames
    }
    name, transform = known.get(position.image_id, (f"image {position.image_id}", None))
    if transform is None:
        return by_sky or f"it is given in {name}, which could not be aligned; give it in another"
    x, y = transform.inverse().apply(np.array([position.x]), np.array([position.y]))
    return float(x[0]), float(y[0])


def _outside(place: tuple[float, float], aligned: Sequence[FrameRow]) -> str | None:
    """Say how far a place is outside every frame; None when some frame shows it."""
    distances = [(_distance_pix(place, frame), frame.name) for frame in aligned]
    nearest, name = min(distances, default=(0.0, ""))
    if nearest <= 0.0:
        return None
    return (
        f"({place[0]:.1f}, {place[1]:.1f}) of the reference frame lies outside all "
        f"{len(aligned)} frames, {nearest:.1f} px beyond the edge of the nearest, {name}"
    )


def _distance_pix(place: tuple[float, float], frame: FrameRow) -> float:
    """Return how far beyond the edge of a frame a place lies; pixels end half a pixel out."""
    if frame.transform is None:
        return float("inf")
    (x,), (y,) = frame.transform.apply(np.array([place[0]]), np.array([place[1]]))
    beyond_x = max(-0.5 - x, x - (frame.width - 0.5), 0.0)
    beyond_y = max(-0.5 - y, y - (frame.height - 0.5), 0.0)
    return float(np.hypot(beyond_x, beyond_y))
