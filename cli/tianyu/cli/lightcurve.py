"""``tianyu lightcurve``: show, plot or export the light curve of one source."""

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection

from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import standard_output
from tianyu.cli.curves.export import export, metadata, records
from tianyu.cli.curves.light_curve import LightCurve
from tianyu.cli.curves.places import parse_pixel, parse_sky_place
from tianyu.cli.curves.summary import summarise
from tianyu.cli.options import DatabaseOption, JsonOption, ObservationOption, RunOption
from tianyu.cli.queries import source_search
from tianyu.cli.queries.conditions import Conditions, read_conditions
from tianyu.cli.queries.light_curve import read_light_curve
from tianyu.cli.queries.magnitudes import with_magnitudes
from tianyu.cli.queries.observations import find_observation
from tianyu.cli.queries.runs import newest_reduction, read_run
from tianyu.cli.queries.source_search import FoundSource
from tianyu.cli.render.light_curve import light_curve_view
from tianyu.cli.words import plural
from tianyu.pipelines.science.timegroups import TimeScale
from tianyu.schema.errors import NotFoundError


def lightcurve_command(
    target: Annotated[
        str | None, typer.Option("--target", metavar="NAME", help="A registered target.")
    ] = None,
    source: Annotated[
        int | None, typer.Option("--source", metavar="ID", help="Number of a source.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="RA,DEC", help="Nearest source, ICRS: degrees, or hh:mm:ss,±dd:mm:ss."
        ),
    ] = None,
    pixel: Annotated[
        str | None,
        typer.Option(
            "--pixel", metavar="X,Y", help="Nearest source to a 0-based pixel of the template."
        ),
    ] = None,
    within: Annotated[
        float | None,
        typer.Option(
            "--within", min=0.0, help="How far it may be: arcseconds (5) for --at, else pixels (5)."
        ),
    ] = None,
    observation: ObservationOption = None,
    run: RunOption = None,
    all_radii: Annotated[
        bool, typer.Option("--all-radii", help="Every aperture, not only the chosen one.")
    ] = False,
    good_only: Annotated[
        bool, typer.Option("--good-only", help="Only good frames and points without a bad flag.")
    ] = False,
    time_scale: Annotated[
        str | None,
        typer.Option(
            "--time-scale", metavar="N|Mmin", help="On stacks of 5 frames, or of 10min, if made."
        ),
    ] = None,
    magnitudes: Annotated[
        bool,
        typer.Option("--magnitudes", help="Calibrated magnitudes beside the relative fluxes."),
    ] = False,
    detrend: Annotated[
        str | None,
        typer.Option(
            "--detrend",
            metavar="TERM,…",
            help="Also without trends that like stars follow: airmass, position, sky, fwhm.",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw it: .png, .pdf or .svg.")
    ] = None,
    export_to: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE", help="Write it: .csv, .ecsv, .fits or .json."),
    ] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show, plot or export the light curve of one source.

    Give one of --target, --source, --at and --pixel. All nights are joined, each as its current
    run measured it; --observation and --run narrow that down.

    Example: tianyu lightcurve --target HAT-P-32 --plot hatp32.png --export hatp32.csv
    """
    if sum(way is not None for way in (target, source, at, pixel)) != 1:
        raise typer.BadParameter("give exactly one of --target, --source, --at and --pixel")
    if detrend is not None and (all_radii or time_scale is not None):
        raise typer.BadParameter(
            "--detrend is of single frames in the chosen radius: leave --all-radii and "
            "--time-scale out"
        )
    with open_database(database) as opened, opened.read() as connection:
        chosen = None if observation is None else find_observation(connection, observation)
        if run is not None:
            read_run(connection, run)
        found = _find(connection, target, source, at, pixel, within, chosen, run)
        curve = read_light_curve(
            connection,
            found,
            observation_id=chosen,
            run=run,
            all_radii=all_radii,
            time_scale=None if time_scale is None else TimeScale.parse(time_scale).name,
        )
        if magnitudes:
            curve = with_magnitudes(connection, curve)
        if detrend is not None:
            curve = _detrended(connection, curve, detrend)
        if good_only:
            curve = _good_only(curve)
        conditions = read_conditions(connection, curve) if plot is not None else None
    if export_to is not None:
        export(curve, export_to)
    if plot is not None and conditions is not None:
        _draw(curve, conditions, plot)
    _answer(curve, [path for path in (plot, export_to) if path is not None], as_json)


def _find(
    connection: Connection,
    target: str | None,
    source: int | None,
    at: str | None,
    pixel: str | None,
    within: float | None,
    observation_id: int | None,
    run: int | None,
) -> FoundSource:
    if target is not None:
        return source_search.find_by_target(connection, target)
    if source is not None:
        return source_search.find_by_id(connection, source)
    if at is not None:
        ra_deg, dec_deg = parse_sky_place(at)
        reach = source_search.AT_REACH_ARCSEC if within is None else within
        return source_search.find_at(connection, ra_deg, dec_deg, reach)
    x, y = parse_pixel(pixel or "")
    template_run = run or newest_reduction(connection, observation_id)
    reach = source_search.PIXEL_REACH_PIX if within is None else within
    return source_search.find_at_pixel(connection, template_run, x, y, reach)


def _detrended(connection: Connection, curve: LightCurve, terms: str) -> LightCurve:
    from tianyu.cli.analysis.detrending import (  # noqa: PLC0415 - fits are slow to import
        parse_terms,
        without_trends,
    )

    return without_trends(connection, curve, parse_terms(terms))


def _good_only(curve: LightCurve) -> LightCurve:
    good = curve.only(curve.is_good)
    if not len(good):
        raise NotFoundError(
            f"none of {plural(len(curve), 'point')} of {curve.how} is good; leave --good-only out "
            "to see what is wrong with them"
        )
    return good


def _draw(curve: LightCurve, conditions: Conditions, path: Path) -> None:
    from tianyu.cli.plots.light_curve import draw_light_curve  # noqa: PLC0415 - matplotlib is slow
    from tianyu.cli.plots.style import save  # noqa: PLC0415

    save(draw_light_curve(curve, conditions), path)


def _answer(curve: LightCurve, written: list[Path], as_json: bool) -> None:
    summaries = summarise(curve)
    if as_json:
        answer = {**metadata(curve), "summary": summaries, "written": [str(p) for p in written]}
        print_json(answer if written else {**answer, "points": list(records(curve))})
    elif written:
        for path in written:
            typer.echo(f"{path}: {plural(len(curve), 'point')} of {curve.how}")
    else:
        standard_output().print(light_curve_view(curve, summaries))
