"""Where the milliseconds of one frame go: ``python -m tests.benchmarks.profile_frame [frames]``.

The trees are also left in ``build/profile.txt``, for ``docs/performance.md``.

Two nights are reduced with chunks of half their frames. The first chunk of a step warms
everything up, the second is profiled: a tree of the project's own functions, in ms of processor
time per frame, what they spend in NumPy, SEP and SQLAlchemy counted to them.
"""

import cProfile
import os
import pstats
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.tree import Tree
from tests.benchmarks.chain import reduce_folders
from tests.benchmarks.night import BenchmarkNight, benchmark_frames

from tianyu.schema.transitions.claim import Claim

STEPS = ("calibrate_align", "extract_flux", "measure_frames")
SHOWN_MS = 0.3
DEEPEST = 4
"""Levels of calls that are shown."""
PROFILE = Path(__file__).resolve().parents[2] / "build" / "profile.txt"
ROOT = str(Path(__file__).resolve().parents[2])

Function = tuple[str, int, str]
"""File, line and name, as the profiler knows it."""


class Profiles:
    """One profile per step, taken from its second process on."""

    def __init__(self) -> None:
        self._runs = dict.fromkeys(STEPS, 0)
        self.of_step: dict[str, pstats.Stats] = {}
        self.frames: dict[str, int] = {}

    @contextmanager
    def around(self, claim: Claim) -> Iterator[None]:
        """Profile the work of a step unless it is its first."""
        name = claim.command
        if name not in STEPS:
            yield
            return
        self._runs[name] += 1
        if self._runs[name] == 1:
            yield
            return
        profile = cProfile.Profile(time.process_time)
        profile.enable()
        try:
            yield
        finally:
            profile.disable()
        self.of_step[name] = pstats.Stats(profile)
        self.frames[name] = len(claim.parameters["frames"])


def main(n_frames: int = 32) -> None:
    """Print one tree per step."""
    warnings.simplefilter("ignore")
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    nights = [benchmark_frames(BenchmarkNight(n_frames, night=night)) for night in (0, 1)]
    profiles = Profiles()
    with tempfile.TemporaryDirectory() as out:
        reduce_folders(nights, Path(out), None, n_frames // 2, around=profiles.around)
    console = Console(width=100, record=True)
    for step, stats in profiles.of_step.items():
        console.print(as_tree(step, stats, profiles.frames[step]))
    PROFILE.parent.mkdir(exist_ok=True)
    PROFILE.write_text(console.export_text())


def as_tree(step: str, stats: pstats.Stats, frames: int) -> Tree:
    """Return the calls below a step, in ms per frame."""
    calls = _calls(stats)
    below_s = {function: entry[3] for function, entry in stats.stats.items()}  # type: ignore[attr-defined]
    in_module = [function for function in calls if function[0].endswith(f"steps/{step}.py")]
    root = max(in_module, key=lambda function: below_s[function])
    total_s = below_s[root]
    tree = Tree(f"{1e3 * total_s / frames:7.1f} ms  {step}, {frames} frames, profiled")
    _grow(tree, root, 1e3 / frames, calls, total_s, {root})
    return tree


def _calls(stats: pstats.Stats) -> dict[Function, dict[Function, float]]:
    """Return who of the project calls whom, and the time spent below each call, s."""
    calls: dict[Function, dict[Function, float]] = {}
    entries = stats.stats.items()  # type: ignore[attr-defined]  # known to pstats only
    for function, (_, _, _, _, callers) in entries:
        if not _is_ours(function):
            continue
        calls.setdefault(function, {})
        for caller, (_, _, _, below_s) in callers.items():
            if _is_ours(caller):
                calls.setdefault(caller, {})[function] = below_s
    return calls


def _is_ours(function: Function) -> bool:
    return function[0].startswith(ROOT) and "/.venv/" not in function[0]


def _grow(
    tree: Tree,
    function: Function,
    to_ms: float,
    calls: dict[Function, dict[Function, float]],
    total_s: float,
    above: set[Function],
) -> None:
    if len(above) > DEEPEST:
        return
    below = {f: s for f, s in calls.get(function, {}).items() if f not in above}
    for callee, seconds in sorted(below.items(), key=lambda item: -item[1]):
        if seconds * to_ms >= SHOWN_MS:
            name = f"{Path(callee[0]).stem}.{callee[2]}"
            branch = tree.add(f"{seconds * to_ms:7.1f} ms  {name}")
            _grow(branch, callee, to_ms, calls, seconds, above | {callee})
    own_s = total_s - sum(below.values())
    if below and own_s * to_ms >= SHOWN_MS:
        tree.add(f"{own_s * to_ms:7.1f} ms  itself and libraries")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
