"""``tianyu lightcurve`` as a person sees it without a plot."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tianyu.cli.console import new_table
from tianyu.cli.curves.light_curve import LightCurve
from tianyu.cli.curves.summary import RadiusSummary
from tianyu.cli.words import number, percent, plural
from tianyu.pipelines.science.flags import describe

ENDS = 5
"""First and last rows shown."""

_MAGNITUDES = ("magnitude", "magnitude_error")


def light_curve_view(curve: LightCurve, summaries: Sequence[RadiusSummary]) -> RenderableType:
    """Return a summary, and the first and last points."""
    unit = "" if curve.has_relative_flux else f" (flux in {curve.flux_unit or 'mixed units'})"
    return Group(
        Text(f"{curve.how}: {plural(len(curve), 'point')}{unit}", style="bold"),
        *(Text(trend_in_words(of_run)) for of_run in curve.detrending),
        _summary_table(summaries),
        _points_table(curve),
    )


def trend_in_words(of_run: Mapping[str, Any]) -> str:
    """Return what detrending did in one run: terms used and refused, scatter."""
    used = [term["name"] for term in of_run["terms"] if term["is_used"]]
    refused = [
        f"{term['name']} refused ({gain(term['ratio'])})"
        for term in of_run["terms"]
        if not term["is_used"]
    ]
    done = f"detrended by {', '.join(used)}" if used else "not detrended"
    before, after = percent(of_run["scatter_before"]), percent(of_run["scatter_after"])
    scatter = f": scatter {before} → {after}" if used else ""
    judged = f"judged by {plural(of_run['n_like_stars'], 'like star')}"
    return f"run {of_run['run']} {done}{scatter}; {', '.join([*refused, judged])}"


def gain(ratio: float) -> str:
    """Return a ratio of scatters in words."""
    if not np.isfinite(ratio):
        return "it does not change"
    return f"like stars' scatter × {ratio:.3f}"


def _summary_table(summaries: Sequence[RadiusSummary]) -> Table:
    table = new_table()
    for name in ("source", "filter"):
        table.add_column(name)
    for name in ("radius", "points", "good", "nights"):
        table.add_column(name, justify="right")
    table.add_column("from … to (UTC)")
    for name in ("median error", "scatter", "point to point"):
        table.add_column(name, justify="right")
    for s in summaries:
        name = f"{s.source_id} {s.source_name}" if s.source_name else str(s.source_id)
        table.add_row(
            Text(name),
            Text(s.filter or "–"),
            f"{s.radius_pix:.2f} px" + (" *" if s.is_default_radius else ""),
            str(s.n_points),
            str(s.n_good),
            str(s.n_nights),
            f"{s.first_utc or '–'} … {s.last_utc or '–'}",
            percent(s.median_error),
            percent(s.scatter),
            percent(s.point_to_point),
        )
    table.caption = "* the radius chosen for the source"
    table.caption_justify = "left"
    return table


def _points_table(curve: LightCurve) -> Table:
    table = new_table()
    time_name = "BJD_TDB" if curve.has_bjd else "JD_UTC"
    for name in (time_name, "radius", "flux", "error", "relative flux", "error", "airmass"):
        table.add_column(name, justify="right")
    if "detrended_flux" in curve.columns:
        table.add_column("detrended", justify="right")
    if "magnitude" in curve.columns:
        for name in ("magnitude", "error"):
            table.add_column(name, justify="right")
    table.add_column("remarks")
    n = len(curve)
    shown = range(n) if n <= 2 * ENDS + 1 else (*range(ENDS), None, *range(n - ENDS, n))
    for i in shown:
        table.add_row(*(["…"] if i is None else _point_cells(curve, i)))
    return table


def _point_cells(curve: LightCurve, i: int) -> list[str]:
    def value(name: str, spec: str) -> str:
        return number(float(curve[name][i]), spec)

    remarks = describe(int(curve["flags"][i]))
    if not curve["frame_is_good"][i] and "frame_rejected" not in remarks:
        remarks.append("frame_rejected")
    time = float(curve.time[i])
    return [
        "–" if np.isnan(time) else f"{time:.6f}",
        value("radius_pix", ".2f"),
        value("flux", ".1f"),
        value("flux_error", ".1f"),
        value("relative_flux", ".5f"),
        value("relative_flux_error", ".5f"),
        value("airmass", ".3f"),
        *(value(name, ".5f") for name in ("detrended_flux",) if name in curve.columns),
        *(value(name, ".4f") for name in _MAGNITUDES if name in curve.columns),
        ", ".join(remarks),
    ]
