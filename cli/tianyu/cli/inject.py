"""``tianyu inject``: signals into the pixels of reduced frames, and what a reduction finds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile, rmtree
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from tianyu.cli.analysis.choosing import Choice, choose_run
from tianyu.cli.analysis.injecting import (
    DISC_FWHM,
    SKY_FWHM,
    InjectionPlan,
    NightFrame,
    SignalKind,
    choose_stars,
    draw_signals,
    plain_name,
    read_night,
    write_injected,
)
from tianyu.cli.analysis.recovering import (
    InjectedEvent,
    RecoveryBin,
    RecoveryLimits,
    recover_events,
    tabulate_recovery,
)
from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.errors import WorkFailedError
from tianyu.cli.nightrun import available_cores
from tianyu.cli.options import DatabaseOption, JsonOption, ObservationOption, RunOption
from tianyu.cli.parsing import parse_options
from tianyu.cli.queries.instrument_facts import read_instrument_facts
from tianyu.cli.queries.run_curves import RunCurves, read_run_curves
from tianyu.cli.reduction import ReduceRequest, reduce_night
from tianyu.cli.words import number
from tianyu.pipelines.science.injection import Disc
from tianyu.pipelines.science.variables import measure_variability, rank_variables
from tianyu.publisher.publishing import PublishOptions
from tianyu.publisher.survey import InstrumentFacts as Facts
from tianyu.schema.database import Database
from tianyu.schema.errors import ConfigurationError

DEFAULT_DEPTHS = "0.005,0.01,0.02,0.03"
LEFT_ALONE = 20
"""The likeliest variables of the night: they carry signals already."""


@dataclass(frozen=True)
class _Night:
    """The reduction that everything starts from."""

    curves: RunCurves
    frames: list[NightFrame]
    calibration: list[Path]
    gain_e_per_adu: float | None
    facts: Facts


def inject_command(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for frames, tables, pictures.")
    ],
    *,
    kind: Annotated[
        list[SignalKind] | None, typer.Option("--kind", help="May be repeated. Default: transit.")
    ] = None,
    sizes: Annotated[
        str,
        typer.Option("--depths", metavar="D,D…", help="Depths; of pulsations half ranges in mag."),
    ] = DEFAULT_DEPTHS,
    lengths: Annotated[
        str, typer.Option("--durations", metavar="H,H…", help="Hours; of pulsations the periods.")
    ] = "1.5,2.5",
    stars: Annotated[int, typer.Option("--stars", min=1, help="Per round, at most.")] = 60,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Reductions to make.")] = 1,
    max_scatter: Annotated[
        float,
        typer.Option("--max-scatter", min=0.0, help="Of the stars' light curves, relative."),
    ] = 0.03,
    threshold: Annotated[
        float, typer.Option("--threshold", help="Signal-to-noise ratio of a recovered event.")
    ] = RecoveryLimits().snr,
    gain: Annotated[
        float | None, typer.Option("--gain", min=0.0, metavar="E/ADU", help="If unknown.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of all random numbers.")] = 1,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, metavar="N", help="Default: cores.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the frames and databases of the rounds.")
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="STEP.NAME=VALUE", help="Parameter of a step."),
    ] = None,
    observation: ObservationOption = None,
    run: RunOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Inject signals into the pixels of reduced frames, and count what is recovered.

    Stars are dimmed with their own profile in copies of the raw frames; the copies are reduced
    as any night, and searched without knowledge of what went in.

    Example: tianyu inject --database sqlite:///result/tianyu.sqlite --out injected
    """
    plan = InjectionPlan(
        kinds=tuple(kind or [SignalKind.TRANSIT]),
        sizes=_numbers(sizes, "--depths"),
        lengths_h=_numbers(lengths, "--durations"),
        n_star=stars,
        seed=seed,
        max_scatter=max_scatter,
    )
    console = Console(stderr=True, highlight=False)
    night = _read_night(Choice(observation=observation, run=run), database, gain)
    steps = parse_options(option or [])
    events: list[InjectedEvent] = []
    for i in range(rounds):
        folder = out / f"round_{i + 1}"
        request = ReduceRequest(
            paths=(folder / "frames",),
            out=folder / "result",
            target=None,
            facts=night.facts,
            options=PublishOptions(steps=steps),
            workers=workers or available_cores(),
        )
        events += _round(night, plan, i, request, RecoveryLimits(snr=threshold), console)
        if not keep:
            rmtree(folder)
    bins = tabulate_recovery(events)
    written = _write(events, bins, plan, out)
    if as_json:
        print_json({"bins": bins, "events": events, "written": [str(path) for path in written]})
    else:
        _print(events, bins, night, written)


def _numbers(text: str, name: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigurationError(f"{name} {text!r} is no list of numbers such as 0.01,0.02") from (
            error
        )
    if not all(0.0 < value < (0.99 if name == "--depths" else np.inf) for value in values):
        raise ConfigurationError(f"{name} {text}: all must be positive, and depths below 0.99")
    return values


def _read_night(choice: Choice, url: str | None, gain: float | None) -> _Night:
    with open_database(url) as opened, opened.read() as connection:
        run = choose_run(connection, choice)
        curves = read_run_curves(connection, run)
        facts = read_instrument_facts(connection, run)
        frames, calibration = read_night(connection, run)
    return _Night(
        curves=curves,
        frames=frames,
        calibration=calibration,
        gain_e_per_adu=facts.gain_e_per_adu if gain is None else gain,
        facts=Facts(
            latitude_deg=facts.latitude_deg,
            longitude_deg=facts.longitude_deg,
            altitude_m=facts.altitude_m,
            # A measured gain is measured again in the round.
            gain_e_per_adu=None if facts.gain_origin else facts.gain_e_per_adu,
            saturation_adu=facts.saturation_adu,
        ),
    )


def _round(
    night: _Night,
    plan: InjectionPlan,
    i: int,
    request: ReduceRequest,
    limits: RecoveryLimits,
    console: Console,
) -> list[InjectedEvent]:
    curves = night.curves
    rng = np.random.default_rng([plan.seed, i])
    fwhm = float(np.nanmedian(curves.fwhm_pix))
    disc = Disc(DISC_FWHM * fwhm, SKY_FWHM[0] * fwhm, SKY_FWHM[1] * fwhm)
    tests = measure_variability(curves.time, curves.flux, curves.error, curves.mean_flux)
    excluded = rank_variables(tests)[:LEFT_ALONE].tolist()
    stars = choose_stars(curves, plan.n_star, disc, excluded, plan.max_scatter, rng)
    if not stars.size:
        raise ConfigurationError(
            f"none of {curves.n_source} stars of run {curves.run} is quiet and unblended enough to "
            "carry a signal"
        )
    signals = draw_signals(plan, stars, curves.time, rng)
    folder = request.paths[0]
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(f"round {i + 1}: {len(signals)} signals", total=None)
        write_injected(
            night.frames, curves, signals, disc, folder,
            gain_e_per_adu=night.gain_e_per_adu, seed=plan.seed + 1000 * (i + 1),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    for path in night.calibration:
        copyfile(path, folder / path.name)
    result = reduce_night(request, console)
    if result.failures or not result.is_complete:
        raise WorkFailedError(f"round {i + 1} did not finish: {'; '.join(result.failures)}")
    database = Database(result.database)
    try:
        with database.read() as connection:
            run = choose_run(connection, Choice())
            after = read_run_curves(connection, run)
            there = {frame.name: frame for frame in read_night(connection, run)[0]}
    finally:
        database.dispose()
    common = next((f for f in night.frames if plain_name(f.name) in there), None)
    if common is None:
        raise WorkFailedError(f"round {i + 1}: no frame was aligned in both reductions")
    maps = common.transform, there[plain_name(common.name)].transform
    return recover_events(signals, curves, after, maps, limits, i + 1)


def _write(
    events: Sequence[InjectedEvent], bins: Sequence[RecoveryBin], plan: InjectionPlan, out: Path
) -> list[Path]:
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    from tianyu.cli.plots.recovery import draw_recovery  # noqa: PLC0415
    from tianyu.cli.plots.style import save  # noqa: PLC0415

    paths = [out / "events.ecsv", out / "completeness.ecsv", out / "recovery.png"]
    table = Table(rows=[vars(event) for event in events])
    table.meta["seed"] = plan.seed
    table.write(paths[0], format="ascii.ecsv", overwrite=True)
    rows = [
        {"kind": b.kind, "size": b.size, "length_h": np.nan if b.length_h is None else b.length_h,
         "brightness": b.brightness, "fraction": b.result.fraction, **vars(b.result)}
        for b in bins
    ]  # fmt: skip
    Table(rows=rows).write(paths[1], format="ascii.ecsv", overwrite=True)
    save(draw_recovery(events, bins), paths[2])
    return paths


def _print(
    events: Sequence[InjectedEvent], bins: Sequence[RecoveryBin], night: _Night, paths: list[Path]
) -> None:
    console = standard_output()
    table = new_table(
        f"{len(events)} signals injected into the pixels of {len(night.frames)} frames"
    )
    for name in ("kind", "stars"):
        table.add_column(name)
    for name in ("size", "hours", "injected", "recovered", "fraction (68 %)", "size bias %", "pull",
                 "time bias min", "time error min", "/ Fisher"):  # fmt: skip
        table.add_column(name, justify="right")
    for b in bins:
        r = b.result
        size = f"{1000 * b.size:.0f} mmag" if b.kind == "pulsation" else f"{100 * b.size:.2f} %"
        size = size if np.isfinite(b.size) else "all"
        table.add_row(
            b.kind, b.brightness, size, "all" if b.length_h is None else f"{b.length_h:g}",
            str(r.n_injected), str(r.n_recovered), f"{r.fraction:.2f} ({r.low:.2f}–{r.high:.2f})",
            f"{number(100 * r.size_bias, '+.1f')} ± {number(100 * r.size_bias_error, '.1f')}",
            number(r.size_pull, ".2f"), number(r.time_bias_min, "+.2f"),
            number(r.time_error_min, ".2f"), number(r.time_over_fisher, ".2f"),
        )  # fmt: skip
    console.print(table)
    lost = sum(not event.has_curve for event in events)
    if lost:
        console.print(f"{lost} stars were not found again in the reduction of their frames")
    if night.gain_e_per_adu is None:
        console.print(
            "[yellow]the gain is not known[/]: the photon noise that a dimmed star must gain was "
            "left out (for 1 % a 0.5 % smaller error); give --gain"
        )
    for path in paths:
        console.print(str(path))
