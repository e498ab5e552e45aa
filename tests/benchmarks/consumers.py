"""The same night with one and with two children: what each step gains."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from sqlalchemy import func, select

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
        return read_spans(database)
    finally:
        database.dispose()


def read_spans(database: Database) -> Spans:
    """Return the spans of the run of light frames."""
    query = (
        select(Process.command, func.min(Process.started_us), func.max(Process.finished_us))
        .join(Run, Run.id == Process.run_id)
        .where(Run.recipe.like("light_curves%"))
        .group_by(Process.command)
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    by_step = {command: (end - start) / 1e6 for command, start, end in rows}
    night_s = (max(end for _, _, end in rows) - min(start for _, start, _ in rows)) / 1e6
    return Spans(by_step, night_s)
