"""The chains beside each other: rounds in which everybody reduces the same frames in turn."""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from astropy.io import fits
from tests.benchmarks import alignment, astropy_sep, consumers, photutils_chain
from tests.benchmarks.alignment import AlignmentTimes
from tests.benchmarks.chain import ChainCost, reduce_folders
from tests.benchmarks.consumers import Spans
from tests.benchmarks.goals import Measured
from tests.benchmarks.metering import Cost, in_fresh_process, metered, read_all
from tests.benchmarks.night import CACHE, light_paths
from tests.benchmarks.plain_masters import PlainMasters

from tianyu.pipelines.simulation import NightPlan, simulate_night
from tianyu.publisher.recipes import LIGHT_CURVES_ONE_PASS

Answer = TypeVar("Answer")

SURVEY_FRAMES = 500
"""A night of a survey: what is paid once per night is spread over so many frames."""
FAINT_SIGMA = 2.0


@dataclass(frozen=True)
class Workload:
    """How much is done in a round."""

    folder: Path
    next_night: Path
    n_photutils: int
    n_align: int
    chunk_frames: int


@dataclass
class Rounds:
    """What every round has measured; costs are those of one frame."""

    reading: list[Cost] = field(default_factory=list)
    astropy_sep: list[Cost] = field(default_factory=list)
    sep_stages: list[dict[str, Cost]] = field(default_factory=list)
    photutils: list[Cost] = field(default_factory=list)
    two_pass: list[ChainCost] = field(default_factory=list)
    one_pass: list[ChainCost] = field(default_factory=list)
    served: list[ChainCost] = field(default_factory=list)
    one_core: list[Spans] = field(default_factory=list)
    """Of one child that is held to one core."""
    one_child: list[Spans] = field(default_factory=list)
    two_children: list[Spans] = field(default_factory=list)
    alignment: list[AlignmentTimes] = field(default_factory=list)
    peaks: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class EmptyDatabase:
    """A database on a server, and the process of the server."""

    url: str
    server_pid: int


def warm_up() -> None:
    """Reduce a small night: what is compiled at first use is there before the clock runs."""
    small = CACHE / "frames" / "small"
    if not (small / "truth.json").is_file():
        in_fresh_process(simulate_night, NightPlan.small(), small)
    in_fresh_process(run_chain, [small], None, 6)


def add_round(
    rounds: Rounds, work: Workload, served: EmptyDatabase | None, *, with_consumers: bool = True
) -> None:
    """Let everybody reduce the frames once.

    Parameters
    ----------
    rounds : Rounds
        To be added to.
    work : Workload
    served : EmptyDatabase or None
        For the chain on a server; None: left out.
    with_consumers : bool
        Also the engine with one and with two children: one alone reads ahead on a second core if
        it is let, which two on two cores cannot.
    """
    lights = light_paths(work.folder)
    per_frame = 1.0 / len(lights)
    read_all(lights)
    rounds.reading.append(read_all(lights).times(per_frame))
    sep = _apart(rounds, "astropy + SEP", run_astropy_sep, work.folder)
    rounds.astropy_sep.append(sep.total.times(per_frame))
    rounds.sep_stages.append({name: c.times(per_frame) for name, c in sep.costs.items()})
    rounds.photutils.append(
        _apart(rounds, "photutils", run_photutils, work.folder, work.n_photutils)
    )
    folders = [work.folder, work.next_night]
    two, one = _apart(rounds, "chain", run_chain, folders, None, work.chunk_frames)
    if one.recipe != LIGHT_CURVES_ONE_PASS.name:
        raise RuntimeError(f"the second night took the recipe {one.recipe}, not the one pass")
    rounds.two_pass.append(two)
    rounds.one_pass.append(one)
    if served is not None:
        (night,) = _apart(rounds, "chain", run_chain, folders[:1], served, work.chunk_frames)
        rounds.served.append(night)
    # Three chunks for each of two children.
    chunk = max(-(-len(lights) // 6), 1)
    lists = ((1, 1, rounds.one_core), (1, 2, rounds.one_child), (2, 2, rounds.two_children))
    for children, cores, found in lists if with_consumers else ():
        night = children, cores, work.folder, chunk
        found.append(_apart(rounds, "consumer", run_consumers, *night))
    rounds.alignment.append(
        _apart(rounds, "alignment", alignment.compare, work.folder, work.n_align)
    )


def _apart(rounds: Rounds, name: str, work: Callable[..., Answer], *arguments: object) -> Answer:
    answer, peak = in_fresh_process(work, *arguments)
    rounds.peaks[name] = max(peak, rounds.peaks.get(name, 0))
    return answer


def run_astropy_sep(folder: Path) -> astropy_sep.Reduction:
    """Reduce all frames of a folder through files, which are removed."""
    masters, out = PlainMasters.of(folder), _scratch("astropy-sep")
    try:
        return astropy_sep.reduce_night(light_paths(folder), masters, out)
    finally:
        shutil.rmtree(out)


def run_photutils(folder: Path, n_frames: int) -> Cost:
    """Measure some frames; return the cost of one."""
    masters, lights = PlainMasters.of(folder), light_paths(folder)
    first = masters.calibrate(fits.getdata(lights[0]))
    sky = photutils_chain.sky(first)
    stars = astropy_sep.find_stars(first - sky, FAINT_SIGMA)
    positions = astropy_sep.brightest(stars, astropy_sep.N_SOURCES)
    with metered() as cost:
        for path in lights[:n_frames]:
            photutils_chain.measure_frame(path, masters, positions)
    return cost.times(1.0 / n_frames)


def run_chain(
    folders: list[Path], served: EmptyDatabase | None, chunk_frames: int
) -> list[ChainCost]:
    """Reduce folders, one night after the other."""
    out = _scratch("chain")
    url, pid = (None, None) if served is None else (served.url, served.server_pid)
    try:
        return reduce_folders(folders, out, url, chunk_frames, server_pid=pid)
    finally:
        shutil.rmtree(out)


def run_consumers(children: int, cores: int, folder: Path, chunk_frames: int) -> Spans:
    """Reduce a folder with so many children, on no more than so many cores where that can be."""
    out = _scratch("consumers")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    try:
        return consumers.night_with(children, folder, out, chunk_frames)
    finally:
        shutil.rmtree(out)


def _scratch(name: str) -> Path:
    folder = CACHE / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder))


def ratios(rounds: Rounds) -> dict[str, Measured]:
    """Return what the goals speak of; of processor times, those on the clock beside them.

    Everybody works in one process with one thread, whose processor time does not depend on who
    else uses the machine.
    """
    raw = [cost.raw_bytes / cost.n_frames for cost in rounds.two_pass]
    found: dict[str, Measured] = {}
    for frames, mark in ((None, ""), (SURVEY_FRAMES, "_500")):
        with_rows = [_per_frame(c, frames, commits=True) for c in rounds.two_pass]
        without = [_per_frame(c, frames, commits=False) for c in rounds.two_pass]
        found[f"chain_vs_astropy_sep{mark}"] = _ratio(rounds.astropy_sep, with_rows)
        found[f"chain_vs_photutils{mark}"] = _ratio(rounds.photutils, with_rows)
        found[f"chain_vs_reading{mark}"] = _ratio(without, rounds.reading)
        found[f"bytes_moved{mark}"] = Measured.of(
            [
                (c.bytes_read + c.bytes_written) / size - (cost.misjudged_fraction if mark else 0)
                for c, size, cost in zip(without, raw, rounds.two_pass, strict=True)
            ]
        )
    with_rows = [_per_frame(c, None, commits=True) for c in rounds.one_pass]
    without = [_per_frame(c, None, commits=False) for c in rounds.one_pass]
    found["one_pass_vs_astropy_sep"] = _ratio(rounds.astropy_sep, with_rows)
    found["one_pass_vs_reading"] = _ratio(without, rounds.reading)
    found["bytes_moved_one_pass"] = Measured.of(
        [(c.bytes_read + c.bytes_written) / size for c, size in zip(without, raw, strict=True)]
    )
    if pairs := list(zip(rounds.one_core, rounds.two_children, strict=True)):
        found["two_consumers"] = Measured.of([a.chunks_s / b.chunks_s for a, b in pairs])
        found["two_consumers_each"] = Measured.of([_gain_of_each(a, b) for a, b in pairs])
        found["two_consumers_night"] = Measured.of([a.night_s / b.night_s for a, b in pairs])
        free = zip(rounds.one_child, rounds.two_children, strict=True)
        found["two_consumers_free"] = Measured.of([a.chunks_s / b.chunks_s for a, b in free])
    found["align_vs_sep"] = _ratio(
        [a.opponent for a in rounds.alignment], [a.own for a in rounds.alignment]
    )
    found["align_error_px"] = Measured.of([a.own_error_pix for a in rounds.alignment])
    return found


def _gain_of_each(one: Spans, two: Spans) -> float:
    """Return the gain of the steps that are shared out, but for the first processes of children."""
    alone, together = (
        sum(spans.each_s.get(step, 0.0) for step in consumers.CHUNK_STEPS) for spans in (one, two)
    )
    return 2.0 * alone / together if together else float("nan")


def _per_frame(chain: ChainCost, frames: int | None, *, commits: bool) -> Cost:
    return chain.cost(commits=commits, frames=frames).times(1.0 / (frames or chain.n_frames))


def _ratio(above: list[Cost], below: list[Cost]) -> Measured:
    pairs = list(zip(above, below, strict=True))
    return Measured.of(
        [a.cpu_s / b.cpu_s for a, b in pairs], [a.wall_s / b.wall_s for a, b in pairs]
    )
