"""``tianyu demo``: a simulated night with known signals, reduced and compared with the truth."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from tianyu.cli.answers import print_json
from tianyu.cli.console import new_table, standard_output
from tianyu.cli.demoplot import plot_recovered
from tianyu.cli.errors import WorkFailedError
from tianyu.cli.nightrun import available_cores
from tianyu.cli.options import WorkersOption
from tianyu.cli.recovery import Recovered, recover
from tianyu.cli.reduction import ReduceRequest, reduce_night
from tianyu.pipelines.simulation import NightPlan, NightTruth, simulate_night
from tianyu.publisher.publishing import PublishOptions
from tianyu.publisher.registering import TargetRequest
from tianyu.publisher.survey import InstrumentFacts
from tianyu.schema.database import Database

AGREEMENT_SIGMAS = 3.0


def demo_command(
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Folder for frames, database and plots.")
    ] = Path("tianyu-demo"),
    *,
    workers: WorkersOption = None,
    seed: Annotated[int | None, typer.Option(help="Another night.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")] = False,
) -> None:
    """Simulate a night with a transit and variable stars, reduce it, compare with the truth.

    Example: tianyu demo --out /tmp/demo
    """
    console = Console(stderr=True, highlight=False)
    plan = NightPlan() if seed is None else NightPlan(seed=seed)
    workers = workers or available_cores()
    truth = simulate(plan, out / "frames", workers, console)
    result = reduce_night(_request(truth, out, workers), console)
    if result.failures or not result.is_complete:
        raise WorkFailedError("the demo did not finish: " + "; ".join(result.failures))
    database = Database(result.database)
    rows, curves = recover(database, truth)
    database.dispose()
    picture = out / "recovered.png"
    plot_recovered(curves, picture)
    if as_json:
        print_json({"database": result.database, "recovered": rows, "picture": picture})
    else:
        show_recovered(rows, result.database, picture)
    outside = [row for row in rows if not abs(row.sigmas) <= AGREEMENT_SIGMAS]
    if outside:
        raise WorkFailedError(
            f"{len(outside)} of {len(rows)} injected values were not recovered within "
            f"{AGREEMENT_SIGMAS:g} sigma"
        )


def simulate(plan: NightPlan, folder: Path, workers: int, console: Console) -> NightTruth:
    """Write the frames of a night, or take those of the same plan that are there."""
    if (folder / "truth.json").is_file():
        truth = NightTruth.read(folder)
        if truth.plan == plan:
            return truth
    folder.mkdir(parents=True, exist_ok=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("simulating frames", total=None)
        return simulate_night(
            plan,
            folder,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
            processes=workers,
        )


def show_recovered(rows: list[Recovered], database: str, picture: Path) -> None:
    """Print the table of injected against recovered values."""
    console = standard_output()
    table = new_table("Injected and recovered")
    for column in ("star", "quantity", "unit"):
        table.add_column(column)
    for column in ("injected", "recovered", "error", "difference"):
        table.add_column(column, justify="right")
    for row in rows:
        digits = 5 if row.unit in {"BJD_TDB", "mag"} else 4
        colour = "green" if abs(row.sigmas) <= AGREEMENT_SIGMAS else "red"
        table.add_row(
            row.star,
            row.quantity,
            row.unit,
            f"{row.injected:.{digits}f}",
            f"{row.measured:.{digits}f}",
            f"{row.error:.{digits}f}",
            f"[{colour}]{row.sigmas:+.1f} σ[/]",
        )
    console.print(table)
    console.print(f"picture: {picture}")
    console.print(f"light curves: table light_curve in {database}")
    console.print(f"next: tianyu status --database {database}", soft_wrap=True)


def _request(truth: NightTruth, out: Path, workers: int) -> ReduceRequest:
    star = truth.transit.star if truth.transit is not None else 0
    return ReduceRequest(
        paths=(out / "frames",),
        out=out,
        target=TargetRequest(
            "Demo transit", float(truth.stars.ra_deg[star]), float(truth.stars.dec_deg[star])
        ),
        facts=InstrumentFacts(),
        options=PublishOptions(),
        workers=workers,
    )
