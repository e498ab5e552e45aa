"""A light curve in a few numbers."""

from dataclasses import dataclass
from itertools import zip_longest

import numpy as np

from tianyu.cli.curves.light_curve import LightCurve
from tianyu.pipelines.science.arrays import AnyArray
from tianyu.pipelines.science.scatter import mad_sigma, point_to_point_sigma


@dataclass(frozen=True)
class RadiusSummary:
    """The points of one source in one filter through one aperture.

    ``scatter`` (from the median absolute deviation), ``point_to_point`` (from the differences
    of successive points) and ``median_error`` are fractions of the median flux, over good
    points only.
    """

    source_id: int
    source_name: str | None
    filter: str | None
    radius_pix: float
    is_default_radius: bool
    n_points: int
    n_good: int
    first_utc: str | None
    last_utc: str | None
    span_day: float
    n_nights: int
    median_flux: float
    median_error: float
    scatter: float
    point_to_point: float


def summarise(curve: LightCurve) -> list[RadiusSummary]:
    """Return a summary per source, filter and aperture, chosen radii first.

    Radii differ by some hundredths of a pixel between the nights of one source: they are told
    apart only within one run.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    radii = _typical_radii(curve)
    for i in range(len(curve)):
        is_default = int(curve["is_default_radius"][i])
        radius = 0.0 if is_default else radii[i]
        key = (-is_default, int(curve["source_id"][i]), str(curve["filter"][i]), radius)
        groups.setdefault(key, []).append(i)
    return [_summary(curve.only(_mask(groups[key], len(curve)))) for key in sorted(groups)]


def _typical_radii(curve: LightCurve) -> list[float]:
    """Return the median over the run of each point's aperture, where it follows the FWHM.

    Apertures that follow are told apart by their rank among those of their frame.
    """
    keys = zip(curve["run_id"].tolist(), curve["source_id"].tolist(), strict=True)
    frames: dict[tuple[object, ...], list[int]] = {}
    for i, key in enumerate(keys):
        frames.setdefault((*key, int(curve["image_id"][i])), []).append(i)
    radius = curve["radius_pix"].astype(float)
    runs: dict[tuple[object, ...], list[list[int]]] = {}
    for (run, source, _), points in frames.items():
        runs.setdefault((run, source), []).append(sorted(points, key=lambda i: radius[i]))
    typical = radius.copy()
    for ranked in runs.values():
        n_radii = len({radius[i] for points in ranked for i in points})
        if n_radii == max(len(points) for points in ranked):
            continue
        for same in zip_longest(*ranked):
            points = [i for i in same if i is not None]
            typical[points] = np.median(radius[points])
    return [float(value) for value in typical]


def _mask(indices: list[int], n: int) -> AnyArray:
    mask = np.zeros(n, dtype=np.bool_)
    mask[indices] = True
    return mask


def _summary(part: LightCurve) -> RadiusSummary:
    good = part.only(part.is_good)
    median = float(np.median(good.value)) if len(good) else float("nan")
    jd = part["jd_utc_mid"]
    starts = np.flatnonzero(np.diff(np.sort(jd[np.isfinite(jd)])) > 0.25)
    times = np.sort(part["utc_mid"][~np.isnat(part["utc_mid"])])
    return RadiusSummary(
        source_id=int(part["source_id"][0]),
        source_name=str(part["source_name"][0]) or None,
        filter=str(part["filter"][0]) or None,
        radius_pix=float(np.median(part["radius_pix"])),
        is_default_radius=bool(part["is_default_radius"][0]),
        n_points=len(part),
        n_good=len(good),
        first_utc=_iso(times, 0),
        last_utc=_iso(times, -1),
        span_day=float(np.ptp(jd[np.isfinite(jd)])) if np.isfinite(jd).any() else 0.0,
        n_nights=len(starts) + 1,
        median_flux=median,
        median_error=float(np.median(good.error)) / median if len(good) else float("nan"),
        scatter=float(mad_sigma(good.value)) / median if len(good) else float("nan"),
        point_to_point=float(point_to_point_sigma(good.value)) / median
        if len(good)
        else float("nan"),
    )


def _iso(times: AnyArray, index: int) -> str | None:
    return str(np.datetime_as_string(times[index], unit="s")) if len(times) else None
