"""``tianyu analyse``: events in one light curve, variables among all, the precision of a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tianyu.cli.analysis.choosing import Choice, choose_curve
from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import standard_output
from tianyu.cli.options import DatabaseOption, JsonOption, ObservationOption, RunOption
from tianyu.pipelines.science.sampling import SamplerSettings
from tianyu.pipelines.science.transit import LimbDarkening
from tianyu.pipelines.science.transitfit import TransitQuestion, TrendIn
from tianyu.pipelines.science.transitscan import Dip
from tianyu.schema.errors import ConfigurationError

if TYPE_CHECKING:
    from tianyu.cli.analysis.event import EventAnalysis


def analyse_command(
    target: Annotated[
        str | None, typer.Option("--target", metavar="NAME", help="A registered target.")
    ] = None,
    source: Annotated[
        int | None, typer.Option("--source", metavar="ID", help="Number of a source.")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="RA,DEC", help="Nearest source to a place, ICRS.")
    ] = None,
    pixel: Annotated[
        str | None, typer.Option("--pixel", metavar="X,Y", help="Nearest source, template pixel.")
    ] = None,
    candidates: Annotated[
        int | None,
        typer.Option("--candidates", min=1, metavar="N", help="The N likeliest variables."),
    ] = None,
    precision: Annotated[
        bool, typer.Option("--precision", help="CDPP of all sources beside theory.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for tables and pictures.")
    ] = None,
    observation: ObservationOption = None,
    run: RunOption = None,
    radius: Annotated[
        float | None,
        typer.Option("--radius", metavar="PIX", help="Aperture. Default: the chosen one."),
    ] = None,
    period: Annotated[
        float | None,
        typer.Option("--period", metavar="DAYS", help="Joins nights; gives a/R* and density."),
    ] = None,
    expected: Annotated[
        float | None,
        typer.Option("--mid-time", metavar="BJD", help="Expected; with --duration, where to look."),
    ] = None,
    duration: Annotated[
        float | None,
        typer.Option("--duration", min=0.0, metavar="HOURS", help="Expected; needs --mid-time."),
    ] = None,
    trend: Annotated[
        TrendIn, typer.Option("--trend", help="What the quadratic trend is in.")
    ] = TrendIn.TIME,
    limb_darkening: Annotated[
        str | None,
        typer.Option(
            "--limb-darkening",
            metavar="U1,U2[,ERROR]",
            help="Kept; with an error, a Gaussian prior. Default: any physical pair.",
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option("--compare", metavar="FILE", help="Another light curve, fitted alike."),
    ] = None,
    gain: Annotated[
        float | None,
        typer.Option("--gain", min=0.0, metavar="E/ADU", help="For --precision, if unknown."),
    ] = None,
    read_noise: Annotated[
        float | None,
        typer.Option("--read-noise", min=0.0, metavar="E", help="For --precision, if unknown."),
    ] = None,
    aperture: Annotated[
        float | None,
        typer.Option("--aperture", min=0.0, metavar="M", help="Telescope, for scintillation."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of all random numbers.")] = 1,
    max_steps: Annotated[
        int, typer.Option("--max-steps", min=500, help="Of each walker of a posterior.")
    ] = 20_000,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fit the transit in a light curve, rank variables, or weigh the precision of a run.

    Name a source, or give --candidates or --precision.

    Example: tianyu analyse --target HAT-P-32 --out result/hatp32
    """
    choice = Choice(target, source, at, pixel, observation, run, radius)
    if choice.n_ways + (candidates is not None) + precision != 1:
        raise typer.BadParameter(
            "give exactly one of --target, --source, --at, --pixel, --candidates and --precision"
        )
    if candidates is not None:
        from tianyu.cli.candidates import show_candidates  # noqa: PLC0415 - matplotlib is slow

        show_candidates(choice, candidates, out, database, as_json=as_json, seed=seed)
    elif precision:
        from tianyu.cli.precision import show_precision  # noqa: PLC0415 - matplotlib is slow

        facts = {"gain_e_per_adu": gain, "read_noise_e": read_noise, "aperture_m": aperture}
        show_precision(choice, facts, out, database, as_json=as_json)
    else:
        question = TransitQuestion(
            limb=parse_limb_darkening(limb_darkening),
            trend_in=trend,
            period_days=period,
            start=_start(expected, duration),
            sampler=SamplerSettings(seed=seed, max_steps=max_steps),
        )
        _show_event(choice, question, compare, out, expected, database, as_json)


def parse_limb_darkening(text: str | None) -> LimbDarkening:
    """Read ``U1,U2`` or ``U1,U2,ERROR``.

    Raises
    ------
    ConfigurationError
        If it is of another form, or no star looks like that.

    Examples
    --------
    >>> parse_limb_darkening("0.4,0.25,0.1")
    LimbDarkening(u1=0.4, u2=0.25, sigma=0.1)
    """
    if text is None:
        return LimbDarkening()
    form = f"--limb-darkening {text!r} is not of the form U1,U2 or U1,U2,ERROR, such as 0.4,0.25"
    try:
        u1, u2, *rest = [float(part) for part in text.split(",")]
        limb = LimbDarkening(u1, u2, *rest[:1])
    except ValueError as error:
        raise ConfigurationError(form) from error
    if len(rest) > 1:
        raise ConfigurationError(form)
    if not (u1 >= 0.0 and 0.0 <= u1 + u2 < 1.0):
        raise ConfigurationError(
            f"--limb-darkening {text}: a star with u1 ≥ 0 and 0 ≤ u1 + u2 < 1 is needed, or it "
            "would be dark or brighter at its limb"
        )
    return limb


def _start(mid_time: float | None, duration_h: float | None) -> Dip | None:
    if (mid_time is None) and (duration_h is not None):
        raise ConfigurationError("--duration alone says nothing; give --mid-time too")
    if mid_time is None or duration_h is None:
        return None
    return Dip(mid_time, duration_h / 24.0)


def _show_event(
    choice: Choice,
    question: TransitQuestion,
    compare: Path | None,
    out: Path | None,
    expected: float | None,
    database: str | None,
    as_json: bool,
) -> None:
    from tianyu.cli.analysis.event import (  # noqa: PLC0415 - slow to import
        analyse_event,
        event_answer,
    )
    from tianyu.cli.curves.foreign import read_foreign_curve  # noqa: PLC0415
    from tianyu.cli.render.event import event_view  # noqa: PLC0415

    other = None if compare is None else read_foreign_curve(compare)
    with open_database(database) as opened, opened.read() as connection:
        curve = choose_curve(connection, choice)
    analysis = analyse_event(curve, question, other)
    written = [] if out is None else _write_event(analysis, out)
    if as_json:
        print_json({**event_answer(analysis), "written": [str(path) for path in written]})
        return
    console = standard_output()
    console.print(event_view(analysis, expected))
    for path in written:
        console.print(str(path))


def _write_event(analysis: "EventAnalysis", out: Path) -> list[Path]:
    from tianyu.cli.analysis.event import write_event  # noqa: PLC0415 - slow to import
    from tianyu.cli.plots.event import draw_corner, draw_quartic, draw_transits  # noqa: PLC0415
    from tianyu.cli.plots.style import save  # noqa: PLC0415

    written = write_event(analysis, out)
    scale = "BJD_TDB" if analysis.curve.has_bjd else "JD_UTC"
    pictures = {
        "transit.png": draw_transits(analysis.fitted, scale),
        "corner.png": draw_corner(analysis.fitted[0].fit.posterior, "limb-darkened disc"),
    }
    if analysis.quartic is not None:
        pictures["quartic.png"] = draw_quartic(analysis, analysis.quartic, scale)
        pictures["quartic_corner.png"] = draw_corner(analysis.quartic.posterior, "quartic")
    for name, figure in pictures.items():
        save(figure, out / name)
        written.append(out / name)
    return written
