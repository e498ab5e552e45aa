"""Which observation a frame belongs to that comes while its night is open.

A folder of a whole night is grouped at once. Frames that come one by one must find the
observation that the first of them has made, also where headers do not tell the longitude, so
that the date of the night would be guessed anew with every frame.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, select

from tianyu.pipelines.fits import FrameKind
from tianyu.publisher.grouping import FrameGroup
from tianyu.schema.tables import Image, Observation, OpticalFilter
from tianyu.schema.transitions.batches import in_batches

SAME_NIGHT = timedelta(hours=6)
"""Frames no farther apart are of one night; from dusk to dawn to dusk it is longer."""


@dataclass
class _Open:
    like: tuple[object, ...]
    name: str
    first: datetime | None
    last: datetime | None

    def takes(self, group: FrameGroup, like: tuple[object, ...]) -> bool:
        """Tell whether frames belong here, by what they show and when."""
        if self.like != like:
            return False
        start, end = _span(group)
        if start is None or end is None or self.first is None or self.last is None:
            return True
        return start - self.last <= SAME_NIGHT and self.first - end <= SAME_NIGHT


class OpenNights:
    """The observations that frames have come for so far.

    Parameters
    ----------
    observation : str or None
        A name that a person gave; frames in another filter than its own are named as usual.
    target : str or None
        Name of the target.
    """

    def __init__(self, observation: str | None = None, target: str | None = None) -> None:
        self._observation, self._target = observation, target
        self._open: list[_Open] = []

    def name_of(self, connection: Connection, group: FrameGroup) -> str:
        """Return the name of the observation that some light frames belong to.

        Parameters
        ----------
        connection : Connection
        group : FrameGroup
            Of light frames.
        """
        like = _likeness(group, self._target)
        night = next((night for night in self._open if night.takes(group, like)), None)
        if night is None:
            known = self._registered(connection, group) or self._given(connection, group)
            night = _Open(like, known or group.name(self._target), *_span(group))
            self._open.append(night)
        start, end = _span(group)
        night.first = min((t for t in (night.first, start) if t), default=None)
        night.last = max((t for t in (night.last, end) if t), default=None)
        return night.name

    def _registered(self, connection: Connection, group: FrameGroup) -> str | None:
        """Return the observation that has some of these frames already: we were here before."""
        for fingerprints in in_batches([frame.fingerprint for frame in group.frames]):
            name = connection.scalar(
                select(Observation.name)
                .join(Image, Image.observation_id == Observation.id)
                .where(
                    Image.fingerprint.in_(fingerprints),
                    Observation.kind == group.kind.value,
                )
                .order_by(Observation.id.desc())
                .limit(1)
            )
            if name is not None:
                return str(name)
        return None

    def _given(self, connection: Connection, group: FrameGroup) -> str | None:
        """Return the name that was given, unless frames in another filter have it."""
        if self._observation is None:
            return None
        row = connection.execute(
            select(Observation.kind, OpticalFilter.name)
            .outerjoin(OpticalFilter, OpticalFilter.id == Observation.filter_id)
            .where(Observation.name == self._observation)
        ).one_or_none()
        is_free = all(night.name != self._observation for night in self._open)
        if row is None:
            return self._observation if is_free else None
        is_like = (row.kind, row.name) == (FrameKind.LIGHT.value, group.filter_name)
        return self._observation if is_like else None


def _likeness(group: FrameGroup, target: str | None) -> tuple[object, ...]:
    """Return what frames of one observation have in common, but for the night."""
    header = group.frames[0].header
    # Of one target headers may call it what they like.
    shown = target or group.object_name
    format_ = (group.shape, header.binning_x, header.binning_y, header.gain_setting)
    sections = (header.data_section, header.overscan_section)
    return (group.kind, group.instrument, group.filter_name, shown, *format_, *sections)


def _span(group: FrameGroup) -> tuple[datetime | None, datetime | None]:
    times = [frame.header.utc_start for frame in group.frames if frame.header.utc_start]
    return min(times, default=None), max(times, default=None)
