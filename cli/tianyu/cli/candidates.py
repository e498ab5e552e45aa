"""``tianyu analyse --candidates``: tables and a page of pictures of the likeliest variables."""

from pathlib import Path

import numpy as np
from astropy.table import Table
from rich.text import Text

from tianyu.cli.analysis.candidates import (
    BLOCK_DAYS,
    N_SHUFFLE,
    CandidateList,
    find_candidates,
    index_table,
)
from tianyu.cli.analysis.choosing import Choice, choose_run
from tianyu.cli.answers import print_json
from tianyu.cli.connect import open_database
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.plots.candidates import draw_candidates
from tianyu.cli.plots.style import save
from tianyu.cli.queries.run_curves import RunCurves, read_run_curves
from tianyu.cli.queries.template import TemplateFile, find_template
from tianyu.cli.words import number, percent
from tianyu.pipelines.fits.pixels import read_pixels
from tianyu.pipelines.science.likestars import N_LIKE
from tianyu.schema.errors import NotFoundError

FALSE_ALARMS = (
    f"False alarms: of the dip, the fraction of {N_LIKE} like-bright stars whose best brightening "
    "is as significant (correlated noise included); of the period, the fraction of "
    f"{N_SHUFFLE} curves shuffled in blocks of {BLOCK_DAYS * 1440:.0f} min with as high a peak."
)


def show_candidates(
    choice: Choice, n: int, out: Path | None, database: str | None, *, as_json: bool, seed: int
) -> None:
    """Rank the variables of a run; with a folder, write their tables and pictures.

    Raises
    ------
    NotFoundError
        If no light curve has enough points.
    """
    with open_database(database) as opened, opened.read() as connection:
        run = choose_run(connection, choice)
        curves = read_run_curves(connection, run)
        template = find_template(connection, run)
    found = find_candidates(curves, n, seed)
    if not found.candidates:
        raise NotFoundError(
            f"none of {curves.n_source} light curves of run {run} has enough good points to search"
        )
    written = [] if out is None else _write(curves, found, template, out)
    if as_json:
        print_json({
            "run": run, "n_source": curves.n_source, "n_searched": found.n_searched,
            "false_alarms": FALSE_ALARMS, "candidates": found.candidates,
            "written": [str(path) for path in written],
        })  # fmt: skip
        return
    _print(curves, found, written)


def _print(curves: RunCurves, found: CandidateList, written: list[Path]) -> None:
    console = standard_output()
    table = new_table(
        f"Run {curves.run}: {len(found.candidates)} of {found.n_searched} searched sources"
    )
    for name in ("rank", "source", "name", "x", "y", "flux", "score", "scatter", "dip", "dip σ",
                 "alarm", "period h", "alarm"):  # fmt: skip
        table.add_column(name, justify="left" if name == "name" else "right", no_wrap=True)
    table.add_column("reasons", overflow="fold")
    for c in found.candidates:
        table.add_row(
            str(c.rank), str(c.source_id), Text(c.name or ""), f"{c.x:.0f}", f"{c.y:.0f}",
            f"{c.mean_flux:.0f}", number(c.score, ".1f"), percent(c.scatter),
            percent(c.event_depth), number(c.event_snr, ".1f"), number(c.event_false_alarm, ".3f"),
            number(c.period_h, ".2f"), number(c.period_false_alarm, ".3f"),
            Text("; ".join(c.reasons) or "nothing stands out"),
        )  # fmt: skip
    console.print(table)
    console.print(FALSE_ALARMS, style="dim")
    for path in written:
        console.print(str(path))


def _write(
    curves: RunCurves, found: CandidateList, template: TemplateFile | None, out: Path
) -> list[Path]:
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / "candidates.ecsv", out / "variability.ecsv", out / "candidates.pdf"]
    _candidate_table(found).write(paths[0], format="ascii.ecsv", overwrite=True)
    everything = Table(index_table(curves, found))
    everything.meta["run"] = curves.run
    everything.write(paths[1], format="ascii.ecsv", overwrite=True)
    image, corner = None, (0, 0)
    if template is not None:
        image = np.asarray(read_pixels(template.path, extension="MEAN"), dtype=np.float64)
        corner = template.x0, template.y0
    pages = draw_candidates(curves, found, image, corner)
    from matplotlib.backends.backend_pdf import PdfPages  # noqa: PLC0415 - with matplotlib only

    with PdfPages(paths[2]) as book:
        for page in pages:
            book.savefig(page)
    for i, page in enumerate(pages, start=1):
        paths.append(out / f"candidates_{i}.png")
        save(page, paths[-1])
    return paths


def _candidate_table(found: CandidateList) -> Table:
    rows = [vars(c) | {"reasons": "; ".join(c.reasons), "name": c.name or "",
                       "echo_of": c.echo_of or 0} for c in found.candidates]  # fmt: skip
    table = Table(rows=rows)
    table.meta["false_alarms"] = FALSE_ALARMS
    return table
