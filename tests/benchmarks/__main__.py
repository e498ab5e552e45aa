"""All benchmarks: ``python -m tests.benchmarks [--quick] [--store]``; see CONTRIBUTING.

Ends with 1 if a ratio has become worse than the stored one; ``--store`` renews those instead.
"""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from tests.benchmarks import comparison, database_path, goals, tables
from tests.benchmarks.comparison import EmptyDatabase, Rounds, Workload, add_round
from tests.benchmarks.goals import TOLERANCE, Measured
from tests.benchmarks.night import BenchmarkNight, benchmark_frames

ANSWER = Path(__file__).resolve().parents[2] / "build" / "bench.json"


@dataclass(frozen=True)
class Size:
    """How much a kind of run measures."""

    kind: str
    rounds: int
    n_light: int
    n_photutils: int
    n_align: int
    chunk_frames: int
    n_noops: int

    @property
    def is_full(self) -> bool:
        """Whether everything is measured."""
        return self.kind.startswith("full")


FULL = Size("full", 3, 128, 4, 16, 64, 1000)
QUICK = Size("quick", 1, 8, 1, 4, 8, 200)


def main() -> int:
    """Measure, print, write, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute, fewer frames")
    parser.add_argument("--store", action="store_true", help="renew the stored ratios")
    parser.add_argument("--only", choices=("chain", "database"), help="a part of it")
    parser.add_argument("--rounds", type=int, help="of the whole: 3")
    parser.add_argument("--frames", type=int, help="of the whole: 128")
    given = parser.parse_args()
    size = QUICK if given.quick else FULL
    size = replace(size, rounds=given.rounds or size.rounds)
    if given.frames:
        # Other numbers of frames have other ratios: they are held against their own.
        size = replace(size, kind=f"{size.kind}-{given.frames}", n_light=given.frames)
    warnings.simplefilter("ignore")
    # Libraries must not start threads: everybody has one core.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    console = Console(width=None if sys.stdout.isatty() else 120)
    measured: dict[str, Measured] = {}
    steps: dict[str, object] = {}
    for part in _parts(size, given.only, console):
        measured |= part.ratios
        steps |= part.steps
        # After each part: the last ones take long, and somebody may lose patience.
        worse = goals.regressions(measured, size.kind)
        _write(measured, steps, worse)
    tables.print_ratios(console, measured)
    console.print(f"written: {ANSWER}")
    if given.store:
        goals.store(measured, size.kind)
        return 0
    for line in worse:
        console.print(f"[red]worse by more than {TOLERANCE:.0%}[/]: {line}")
    return 1 if worse else 0


@dataclass(frozen=True)
class Part:
    """Some of the ratios, and what stands behind them."""

    ratios: dict[str, Measured]
    steps: dict[str, object] = field(default_factory=dict)


def _parts(size: Size, only: str | None, console: Console) -> Iterator[Part]:
    with database_path.servers() as at:
        if only != "database":
            rounds = _compare_chains(size, at, console)
            tables.print_steps(console, rounds)
            tables.print_consumers(console, rounds)
            yield Part(comparison.ratios(rounds), tables.steps_as_json(rounds))
        if only != "chain":
            console.print("rows, light curves, relative photometry …")
            yield Part(database_path.storing(at, rounds=size.rounds))
            if size.is_full:
                yield Part(database_path.curves(at, rounds=size.rounds))
            console.print("the engine's own cost …")
            yield Part(database_path.overheads(at, rounds=size.rounds, processes=size.n_noops))
    if only != "chain" and size.is_full:
        yield Part(database_path.poll_of_a_million(1_000_000))


def _compare_chains(size: Size, at: database_path.Servers, console: Console) -> Rounds:
    console.print("frames …")
    work = Workload(
        *(benchmark_frames(BenchmarkNight(size.n_light, night=night)) for night in (0, 1)),
        size.n_photutils,
        size.n_align,
        size.chunk_frames,
    )
    comparison.warm_up()
    rounds = Rounds()
    for i in range(size.rounds):
        console.print(f"round {i + 1} of {size.rounds} …")
        with at.database.fresh_database() as url:
            served = EmptyDatabase(url, at.database.pid) if size.is_full else None
            add_round(rounds, work, served, with_consumers=size.is_full)
    return rounds


def _write(measured: dict[str, Measured], steps: dict[str, object], worse: list[str]) -> None:
    ANSWER.parent.mkdir(exist_ok=True)
    answer = {
        "ratios": goals.as_json(measured),
        "steps": steps,
        "machine": tables.machine(),
        "regressions": worse,
    }
    ANSWER.write_text(json.dumps(answer, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
