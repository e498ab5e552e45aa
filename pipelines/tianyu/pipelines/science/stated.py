"""What a header says itself of times and airmass, against what is computed here."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.times import FrameTimes

TIME_TOLERANCE_S = 5.0
"""Headers give the barycentric time of their target, up to half a degree from the centre."""

AIRMASS_TOLERANCE = 0.03
"""Relative. sec z and Young's formula differ by 0.3 % at airmass 3; a header may give the start."""

MOON_TOLERANCE_DEG = 2.0
"""Without the parallax the moon is off by up to a degree."""

DAY_S = 86400.0


@dataclass(frozen=True)
class _TimeCard:
    name: str
    computed: float


def disagreements(
    stated: Mapping[str, float], times: FrameTimes, index: int, exposure_s: float | None
) -> str | None:
    """Say where a header's own values are others than those computed for a frame.

    Parameters
    ----------
    stated : mapping of str to float
        ``bjd``, ``hjd``, ``airmass`` and ``moon_distance_deg``, those that the header has.
    times : FrameTimes
    index : int
        Of the frame in them.
    exposure_s : float or None
        A header's time may be of the start, the middle or the end: any of them agrees.

    Returns
    -------
    str or None
        Both values of each, and their difference; None where nothing disagrees.
    """
    found = []
    for name, computed in (
        ("bjd", float(times.bjd_tdb_mid[index])),
        ("hjd", float(times.hjd_utc_mid[index])),
    ):
        if name in stated and np.isfinite(computed):
            found.append(_time(_TimeCard(name.upper(), computed), stated[name], exposure_s or 0.0))
    airmass = float(times.airmass[index])
    if "airmass" in stated and np.isfinite(airmass):
        off = abs(stated["airmass"] - airmass)
        if off > AIRMASS_TOLERANCE * airmass:
            found.append(f"the header's airmass is {stated['airmass']:.3f}, not {airmass:.3f}")
    moon = float(times.moon_distance_deg[index])
    # A comparison with what is not known is false.
    if abs(stated.get("moon_distance_deg", np.nan) - moon) > MOON_TOLERANCE_DEG:
        found.append(
            f"the header has the moon at {stated['moon_distance_deg']:.1f}°, not {moon:.1f}°"
        )
    return "; ".join(text for text in found if text) or None


def _time(card: _TimeCard, stated: float, exposure_s: float) -> str | None:
    off_s = (stated - card.computed) * DAY_S
    nearest = min(abs(off_s - shift * exposure_s) for shift in (-0.5, 0.0, 0.5))
    if nearest <= TIME_TOLERANCE_S:
        return None
    return f"the header's {card.name} is {off_s:+.0f} s from mid-exposure, {card.computed:.5f}"
