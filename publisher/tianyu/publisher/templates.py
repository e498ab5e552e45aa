"""The template at whose sources another night of a sky can be measured in one pass."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from tianyu.publisher.recipes import LIGHT_CURVES
from tianyu.schema.states import State
from tianyu.schema.tables import (
    Image,
    ImageCopy,
    Observation,
    Process,
    Reduction,
    ReferenceFrame,
    Run,
    Sky,
    Source,
    SourcePosition,
)


@dataclass(frozen=True)
class KnownTemplate:
    """A finished template of a sky.

    Attributes
    ----------
    run_id, image_id : int
        The run that made it, and the template.
    detected_by : int
        Process that found its sources: what is measured at them waits for it.
    field : mapping
        The centre that the offsets of its sources are counted from, ICRS degrees.
    """

    run_id: int
    image_id: int
    detected_by: int
    observation: str
    field: dict[str, float | None]

    @property
    def parameters(self) -> dict[str, int]:
        """As the step ``adopt_template`` takes it, and as it stands in a run's key."""
        return {"run_id": self.run_id, "image_id": self.image_id}

    @property
    def note(self) -> str:
        """What it means for a night, in words."""
        return (
            f"one pass: measured at the sources of the template of observation "
            f"{self.observation!r} (run {self.run_id}), each frame read once"
        )


def find_template(
    connection: Connection, observation: Row[Any], frames: list[Row[Any]], site_id: int
) -> KnownTemplate | None:
    """Return the template that an observation can be measured at; None if it needs its own.

    It must be of another night of the same sky, instrument, filter and format, finished, and
    hold every target that is expected here. An observation that has ever been reduced with a
    template of its own keeps to that.

    Parameters
    ----------
    connection : Connection
    observation : Row
        Of the table of observations.
    frames : list of Row
        Its raw frames.
    site_id : int
        Where it is reduced: the frame that the template is aligned to must be there.
    """
    if observation.sky_id is None or _has_own(connection, observation.id):
        return None
    first = connection.scalar(
        select(Image.run_id)
        .join(Sky, Sky.template_image_id == Image.id)
        .where(Sky.id == observation.sky_id)
    )
    if first is None:
        return None
    run_id = _current_instead(connection, first)
    if not _fits(connection, run_id, observation, frames[0], site_id):
        return None
    return read_template(connection, run_id)


def holds_targets(connection: Connection, image_id: int, target_ids: set[int]) -> bool:
    """Tell whether every one of some targets is a source of a template."""
    query = (
        select(func.count(Source.target_id.distinct()))
        .join(SourcePosition, SourcePosition.source_id == Source.id)
        .where(SourcePosition.template_image_id == image_id, Source.target_id.in_(target_ids))
    )
    return not target_ids or connection.scalar(query) == len(target_ids)


def _has_own(connection: Connection, observation_id: int) -> bool:
    query = (
        select(func.count())
        .select_from(Reduction)
        .join(Run, Run.id == Reduction.run_id)
        .where(Reduction.observation_id == observation_id, Run.recipe == LIGHT_CURVES.name)
    )
    return bool(connection.scalar(query))


def _current_instead(connection: Connection, run_id: int) -> int:
    """Return the current run of the night that gave the sky its first template, if it made one."""
    night = select(Reduction.observation_id).where(Reduction.run_id == run_id).scalar_subquery()
    query = (
        select(Observation.current_run_id)
        .join(Run, Run.id == Observation.current_run_id)
        .where(Observation.id == night, Run.recipe == LIGHT_CURVES.name)
    )
    return connection.scalar(query) or run_id


def _fits(
    connection: Connection, run_id: int, observation: Row[Any], frame: Row[Any], site_id: int
) -> bool:
    """Tell whether frames can be aligned to the reference frame of a run, and compared with it."""
    is_same_filter = (
        Observation.filter_id.is_(None)
        if observation.filter_id is None
        else Observation.filter_id == observation.filter_id
    )
    query = (
        select(Reduction.run_id)
        .join(Observation, Observation.id == Reduction.observation_id)
        .join(ReferenceFrame, ReferenceFrame.run_id == Reduction.run_id)
        .join(Image, Image.id == ReferenceFrame.image_id)
        .join(ImageCopy, (ImageCopy.image_id == Image.id) & (ImageCopy.site_id == site_id))
        .where(
            Reduction.run_id == run_id,
            # It has light curves: a night that failed after its detection is no example.
            Observation.current_run_id.is_not(None),
            Observation.id != observation.id,
            Observation.instrument_id == observation.instrument_id,
            is_same_filter,
            Image.width == frame.width,
            Image.height == frame.height,
            Image.binning == frame.binning,
        )
    )
    return connection.scalar(query) is not None


def read_template(connection: Connection, run_id: int) -> KnownTemplate | None:
    """Return the template that a run made; None if it has not (yet) found its sources."""
    query = (
        select(Reduction.template_image_id, Observation.name, Run.parameters, Process.id)
        .join(Run, Run.id == Reduction.run_id)
        .join(Observation, Observation.id == Reduction.observation_id)
        .join(Process, Process.run_id == Run.id)
        .where(
            Reduction.run_id == run_id,
            Reduction.template_image_id.is_not(None),
            Process.command == "detect_sources",
            Process.state == State.SUCCEEDED.value,
        )
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return KnownTemplate(
        run_id=run_id,
        image_id=row.template_image_id,
        detected_by=row.id,
        observation=row.name,
        field=row.parameters["surroundings"]["field"],
    )
