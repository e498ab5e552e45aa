"""A light curve without the slow trends that constant stars of its runs follow too."""

from dataclasses import replace
from typing import Any

import numpy as np
from sqlalchemy import Connection

from tianyu.cli.curves.columns import DETRENDED_COLUMNS
from tianyu.cli.curves.light_curve import LightCurve
from tianyu.cli.queries.run_curves import RunCurves, read_run_curves
from tianyu.cli.queries.trend_terms import read_geometry
from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.detrend import Detrending, detrend
from tianyu.pipelines.science.scatter import mad_sigma
from tianyu.schema.errors import ConfigurationError

COLUMNS_OF_TERMS = {
    "airmass": ("airmass",),
    "position": ("x_pix", "y_pix"),
    "sky": ("sky_level_adu",),
    "fwhm": ("fwhm_pix",),
}


def parse_terms(text: str) -> tuple[str, ...]:
    """Read the names of terms, in their order and once each.

    Raises
    ------
    ConfigurationError
        If one is not known.

    Examples
    --------
    >>> parse_terms("airmass,position")
    ('airmass', 'position')
    """
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in COLUMNS_OF_TERMS:
            raise ConfigurationError(
                f"--detrend {text!r}: {name!r} is no term; there are {', '.join(COLUMNS_OF_TERMS)}"
            )
    return tuple(dict.fromkeys(names))


def without_trends(connection: Connection, curve: LightCurve, names: tuple[str, ...]) -> LightCurve:
    """Add the columns ``trend``, ``detrended_flux`` and its error to a light curve.

    Every run is fitted by itself, on the good points of its good frames.

    Parameters
    ----------
    connection : Connection
    curve : LightCurve
        In the chosen radius.
    names : tuple of str
        Terms that may be used.

    Returns
    -------
    LightCurve
        NaN in frames that were not good or have no value of a term.

    Raises
    ------
    ConfigurationError
        If a run holds too few points or like stars; the text names it.
    """
    trend = np.full(len(curve), np.nan)
    stories = []
    for run in sorted({int(run) for run in curve["run_id"]}):
        curves = read_run_curves(connection, run)
        terms = _terms(connection, curves, names)
        for source in sorted({int(s) for s in curve["source_id"][curve["run_id"] == run]}):
            row = int(np.flatnonzero(curves.source_id == source)[0])
            try:
                found = detrend(curves.time, curves.flux, curves.mean_flux, terms, row)
            except UnusableDataError as error:
                raise ConfigurationError(f"run {run}, source {source}: {error}") from error
            at = {int(image): i for i, image in enumerate(curves.image_id)}
            for i in np.flatnonzero((curve["run_id"] == run) & (curve["source_id"] == source)):
                frame = at.get(int(curve["image_id"][i]))
                trend[i] = np.nan if frame is None else found.trend[frame]
            stories.append(_story(found, curves, row))
    added = {
        "trend": trend,
        "detrended_flux": curve["relative_flux"] / (1.0 + trend),
        "detrended_flux_error": curve["relative_flux_error"] / (1.0 + trend),
    }
    return replace(
        curve,
        columns={**curve.columns, **added},
        view_columns=(*curve.view_columns, *DETRENDED_COLUMNS),
        detrending=tuple(stories),
    )


def _terms(
    connection: Connection, curves: RunCurves, names: tuple[str, ...]
) -> dict[str, FloatArray]:
    """Return the values of each term, shape (n_source or 1, n_frame, n_column)."""
    shared = {"airmass": curves.airmass, "sky": curves.sky_level, "fwhm": curves.fwhm_pix}
    terms = {name: shared[name][None, :, None] for name in names if name in shared}
    if "position" in names:
        maps = read_geometry(connection, curves.run, curves.image_id)
        place = np.stack([curves.x, curves.y, np.ones(curves.n_source)])
        terms["position"] = np.einsum("fck,ks->sfc", maps, place)
    return {name: terms[name] for name in names}


def _story(found: Detrending, curves: RunCurves, row: int) -> dict[str, Any]:
    before = curves.flux[row]
    after = before / (1.0 + found.trend)
    return {
        "run": curves.run,
        "source_id": int(curves.source_id[row]),
        "formula": "trend = sum of coefficient * (value - reference); "
        "detrended_flux = relative_flux / (1 + trend)",
        "terms": [
            {"name": v.name, "is_used": v.is_used, "ratio": v.ratio} for v in found.verdicts
        ],
        "columns": [
            {"name": column, "coefficient": float(c), "reference": float(r)}
            for name in found.coefficients
            for column, c, r in zip(
                COLUMNS_OF_TERMS[name], found.coefficients[name], found.references[name],
                strict=True,
            )
        ],
        "event": found.event,
        "n_like_stars": found.n_like,
        "scatter_before": float(mad_sigma(before)),
        "scatter_after": float(mad_sigma(after)),
    }  # fmt: skip
