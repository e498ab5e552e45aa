"""``tianyu analyse --precision``: CDPP of all sources of a run beside theory."""

from dataclasses import replace
from pathlib import Path

from tianyu.cli.analysis.choosing import Choice, choose_run
from tianyu.cli.analysis.precision import Precision, measure_precision, precision_table
from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.queries.instrument_facts import read_instrument_facts
from tianyu.cli.queries.run_curves import read_run_curves
from tianyu.cli.words import number


def show_precision(
    choice: Choice,
    given: dict[str, float | None],
    out: Path | None,
    database: str | None,
    *,
    as_json: bool,
) -> None:
    """Show the precision by brightness; with a folder, write its table and picture."""
    with open_database(database) as opened, opened.read() as connection:
        run = choose_run(connection, choice)
        curves = read_run_curves(connection, run)
        facts = read_instrument_facts(connection, run)
    known = {name: value for name, value in given.items() if value is not None}
    origin = None if given["gain_e_per_adu"] is not None else facts.gain_origin
    found = measure_precision(curves, replace(facts, **known, gain_origin=origin))
    written = [] if out is None else _write(found, out)
    if as_json:
        print_json({
            "run": run, "window_h": 0.5, "filter_h": 1.0,
            "white_noise_response": found.response, "missing": found.missing,
            "classes": found.classes, "written": [str(path) for path in written],
        })  # fmt: skip
        return
    console = standard_output()
    table = new_table(f"Run {run}: CDPP on 0.5 h after a 1 h Savitzky-Golay filter, ppm (medians)")
    table.add_column("sources")
    names = ("number", "flux from", "to", "CDPP", "theory", "ratio", "from errors", "ratio")
    for name in names:
        table.add_column(name, justify="right")
    for c in found.classes:
        table.add_row(
            c.name, str(c.n_source), f"{c.brightest:.0f}", f"{c.faintest:.0f}",
            number(c.cdpp, ".0f"), number(c.theory, ".0f"), number(c.ratio, ".2f"),
            number(c.from_errors, ".0f"), number(c.ratio_to_errors, ".2f"),
        )  # fmt: skip
    console.print(table)
    for words in found.missing:
        console.print(f"[yellow]theory[/]: {words}")
    for path in written:
        console.print(str(path))


def _write(found: Precision, out: Path) -> list[Path]:
    from astropy.table import Table  # noqa: PLC0415 - slow to import

    from tianyu.cli.plots.precision import draw_precision  # noqa: PLC0415
    from tianyu.cli.plots.style import save  # noqa: PLC0415

    out.mkdir(parents=True, exist_ok=True)
    table = Table(precision_table(found))
    table.meta["white_noise_response"] = found.response
    table.meta["missing"] = found.missing
    table.write(out / "precision.ecsv", format="ascii.ecsv", overwrite=True)
    save(draw_precision(found), out / "precision.png")
    return [out / "precision.ecsv", out / "precision.png"]
