"""The same night with one and with two children: what each step gains.

On the clock counts what a short night cannot hide: a child's first process of a step imports what
the step needs, and the last processes leave a child idle. So what is left of the speed of a
process when another one works beside it is stated by itself.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from sqlalchemy import select

from tianyu.cli.reduction import ReduceRequest, reduce_night
from tianyu.publisher.publishing import PublishOptions
from tianyu.publisher.survey import InstrumentFacts
from tianyu.schema.database import Database
from tianyu.schema.tables import Process, Run

CHUNK_STEPS = ("calibrate_align", "extract_flux")
"""What is shared out; the other steps of a night are one process each."""


@dataclass(frozen=True)
class Spans:
    """Time on the clock from the first start of a step to its last end, s."""

    by_step: dict[str, float]
    night_s: float
    """From the first start of any step to the last end, masters apart."""
    each_s: dict[str, float] = field(default_factory=dict)
    """Mean of the processes of a step, but the first of each child; not of steps without others."""

    @property
    def chunks_s(self) -> float:
        """Of the steps that are shared out."""
        return sum(self.by_step[step] for step in CHUNK_STEPS)


def night_with(children: int, folder: Path, out: Path, chunk_frames: int) -> Spans:
    """Reduce a folder of frames as ``tianyu reduce`` does, with so many children."""
    request = ReduceRequest(
        paths=(folder,),
        out=out,
        target=None,
        facts=InstrumentFacts(),
        options=PublishOptions(chunk_frames=chunk_frames),
        workers=children,
    )
    result = reduce_night(request, Console(quiet=True))
    if result.failures:
        raise RuntimeError("; ".join(result.failures))
    database = Database(result.database)
    try:
        return read_spans(database, children)
    finally:
        database.dispose()


def read_spans(database: Database, children: int = 1) -> Spans:
    """Return the spans of the run of light frames, which so many children have worked off."""
    query = (
        select(Process.command, Process.started_us, Process.finished_us)
        .join(Run, Run.id == Process.run_id)
        .where(Run.recipe.like("light_curves%"))
        .order_by(Process.started_us)
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    times: dict[str, list[tuple[int, int]]] = {}
    for command, start, end in rows:
        times.setdefault(command, []).append((start, end))
    return Spans(
        {step: (max(e for _, e in found) - found[0][0]) / 1e6 for step, found in times.items()},
        (max(end for _, _, end in rows) - rows[0][1]) / 1e6,
        {
            step: statistics.mean(end - start for start, end in found[children:]) / 1e6
            for step, found in times.items()
            if len(found) > children
        },
    )


@dataclass(frozen=True)
class Gain:
    """What a step gains by a second child: times over times.

    Attributes
    ----------
    one_s, two_s : float
        From its first start to its last end, s.
    each : float or None
        Of processes after the first of each child; None for steps that are not shared out.
    """

    one_s: float
    two_s: float
    each: float | None

    @property
    def on_clock(self) -> float:
        """From the first start to the last end."""
        return self.one_s / max(self.two_s, 1e-6)


def gains(one: Sequence[Spans], two: Sequence[Spans]) -> dict[str, Gain]:
    """Return the gain of each step, of medians over rounds with one and with two children."""
    found = {}
    for step in one[0].by_step:
        spans = [statistics.median(s.by_step[step] for s in rounds) for rounds in (one, two)]
        each = [
            statistics.median([s.each_s[step] for s in rounds if step in s.each_s] or [0.0])
            for rounds in (one, two)
        ]
        is_shared = step in CHUNK_STEPS and all(each)
        found[step] = Gain(*spans, 2.0 * each[0] / each[1] if is_shared else None)
    return found
