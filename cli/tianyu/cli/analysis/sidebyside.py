"""Two runs of one sky, star by star: which of two methods makes the quieter light curves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tianyu.cli.queries.run_curves import RunCurves
from tianyu.pipelines.science.arrays import FloatArray, IntArray
from tianyu.pipelines.science.scatter import (
    N_BRIGHTNESS_CLASSES,
    Scatter,
    finite_median,
    measure_scatter,
)
from tianyu.schema.errors import ConfigurationError

CLASS_NAMES = ("bright", "middle", "faint")


@dataclass(frozen=True)
class ComparedClass:
    """Medians over the same stars of one third by brightness; pairs are first and second run."""

    name: str
    n_source: int
    brightest: float
    faintest: float
    scatter: tuple[float, float]
    point_to_point: tuple[float, float]
    expected: tuple[float, float]
    ratio: float
    """Of each star's scatter in the second run to that in the first."""
    quieter: float
    """Fraction of the stars whose scatter is smaller in the second run."""


@dataclass(frozen=True)
class RunComparison:
    """How two runs compare, and on what."""

    runs: tuple[int, int]
    n_source: int
    n_frame: int
    only: tuple[int, int]
    """Stars that one of the runs alone has a light curve of."""
    classes: list[ComparedClass]


def compare_runs(first: RunCurves, second: RunCurves) -> RunComparison:
    """Compare the scatter of the same stars in the same frames.

    Each run's chosen radius of a star counts, as in its light curves. Points that one run has
    not are left out of the other.

    Parameters
    ----------
    first, second : RunCurves

    Raises
    ------
    ConfigurationError
        If no star or frame is common to both.
    """
    common = np.intersect1d(first.source_id, second.source_id, return_indices=True)
    frames = np.intersect1d(first.image_id, second.image_id, return_indices=True)
    if not len(common[0]) or len(frames[0]) < 3:
        raise ConfigurationError(
            f"runs {first.run} and {second.run} share {len(common[0])} stars and "
            f"{len(frames[0])} good frames: compare two runs of one observation on one template"
        )
    # Scatter along the last axis is of successive points: in the order of time.
    order = np.argsort(first.time[frames[1]], kind="stable")
    pairs = []
    for curves, rows, columns in ((first, common[1], frames[1]), (second, common[2], frames[2])):
        at = np.ix_(rows, columns[order])
        pairs.append((curves.flux[at], curves.error[at]))
    both = np.isfinite(pairs[0][0]) & np.isfinite(pairs[1][0])
    scatters = [
        measure_scatter(np.where(both, flux, np.nan), np.where(both, error, np.nan))
        for flux, error in pairs
    ]
    return RunComparison(
        runs=(first.run, second.run),
        n_source=len(common[0]),
        n_frame=len(frames[0]),
        only=(first.n_source - len(common[0]), second.n_source - len(common[0])),
        classes=_classes(scatters, first.mean_flux[common[1]]),
    )


def _classes(scatters: list[Scatter], mean_flux: FloatArray) -> list[ComparedClass]:
    usable = (mean_flux > 0) & (scatters[0].mad > 0) & (scatters[1].mad > 0)
    order = np.flatnonzero(usable)[np.argsort(-mean_flux[usable], kind="stable")]
    parts = np.array_split(order, N_BRIGHTNESS_CLASSES)
    return [
        _of_class(name, scatters, mean_flux, part)
        for name, part in zip(CLASS_NAMES, parts, strict=True)
        if part.size
    ]


def _of_class(
    name: str, scatters: list[Scatter], mean_flux: FloatArray, part: IntArray
) -> ComparedClass:
    def pair(measure: str) -> tuple[float, float]:
        first, second = (float(finite_median(getattr(s, measure)[part])) for s in scatters)
        return first, second

    ratio = scatters[1].mad[part] / scatters[0].mad[part]
    return ComparedClass(
        name=name,
        n_source=int(part.size),
        brightest=float(mean_flux[part].max()),
        faintest=float(mean_flux[part].min()),
        scatter=pair("mad"),
        point_to_point=pair("point_to_point"),
        expected=pair("expected"),
        ratio=float(np.median(ratio)),
        quieter=float((ratio < 1.0).mean()),
    )


def different_options(
    first: Mapping[str, Any], second: Mapping[str, Any], path: str = ""
) -> dict[str, tuple[Any, Any]]:
    """Return the options in which two runs differ, by dotted name; None where one has none.

    Examples
    --------
    >>> different_options({"a": {"b": 1, "c": 2}}, {"a": {"b": 3, "c": 2}})
    {'a.b': (1, 3)}
    """
    found: dict[str, tuple[Any, Any]] = {}
    for name in sorted({*first, *second}):
        one, other = first.get(name), second.get(name)
        if isinstance(one, Mapping) or isinstance(other, Mapping):
            of = [value if isinstance(value, Mapping) else {} for value in (one, other)]
            found.update(different_options(of[0], of[1], f"{path}{name}."))
        elif one != other:
            found[f"{path}{name}"] = one, other
    return found
