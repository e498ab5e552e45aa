"""From loose frames to observations: frames that are processed together."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tianyu.pipelines.fits import FlatKind, FrameKind
from tianyu.publisher.nights import guess_noon_h, night_of
from tianyu.publisher.scanning import ScannedFrame

MAX_NAME = 190
"""Length of the column ``observation.name``."""

_CALIBRATION_FIRST = (FrameKind.BIAS, FrameKind.DARK, FrameKind.FLAT, FrameKind.LIGHT)


@dataclass(frozen=True)
class FrameGroup:
    """Frames of one kind, instrument, size and night, and of one filter or exposure."""

    kind: FrameKind
    instrument: str
    filter_name: str | None
    exposure_s: float | None
    night: str
    object_name: str | None
    frames: tuple[ScannedFrame, ...]
    flat_kind: FlatKind | None = None
    """Flats of a dome and of the twilight are not mixed: one choice is made between them."""

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the frames."""
        header = self.frames[0].header
        return header.height, header.width

    def name(self, target: str | None) -> str:
        """Return the name under which this group is registered as an observation.

        Frames of the same group, registered another day, get the same name.
        """
        what = {
            FrameKind.LIGHT: target or self.object_name or "field",
            # All digits: two exposure times must never share a name.
            FrameKind.DARK: f"dark {self.exposure_s:.12g} s" if self.exposure_s else "dark",
            FrameKind.FLAT: f"{self.flat_kind} flat" if self.flat_kind else "flat",
        }.get(self.kind, self.kind.value)
        height, width = self.shape
        size = f"{width}x{height}{_binning(self.frames[0])}"
        setting = self.frames[0].header.gain_setting
        gain = None if setting is None else f"gain {setting:g}"
        overscan = "overscan" if self.frames[0].header.overscan_section else None
        parts = [what, self.filter_name, self.night, self.instrument, size, gain, overscan]
        return _fitted(", ".join(part for part in parts if part))


@dataclass(frozen=True)
class _Key:
    """What the frames of one group have in common."""

    kind: FrameKind
    instrument: str
    filter_name: str | None
    exposure_s: float | None
    night: str
    object_name: str | None
    flat_kind: FlatKind | None
    gain_setting: float | None
    size: tuple[int, int, int, int]
    sections: tuple[object, object]


def instrument_name(frame: ScannedFrame) -> str:
    """Return the telescope and camera of a frame, as far as the header knows them."""
    header = frame.header
    names = [header.telescope_name, header.instrument_name]
    return " ".join(name for name in names if name) or "unknown camera"


def group_frames(
    frames: Iterable[ScannedFrame],
    *,
    longitude_deg: float | None = None,
    one_target: bool = False,
) -> list[FrameGroup]:
    """Group frames into observations.

    Parameters
    ----------
    frames : iterable of ScannedFrame
    longitude_deg : float, optional
        East positive; overrides the headers' when nights are told apart.
    one_target : bool
        The light frames show one target whatever their headers call it.

    Returns
    -------
    list of FrameGroup
        Calibration first, since science needs it: bias, dark, flat, light.
    """
    by_instrument: defaultdict[str, list[ScannedFrame]] = defaultdict(list)
    for frame in frames:
        by_instrument[instrument_name(frame)].append(frame)
    groups: defaultdict[_Key, list[ScannedFrame]] = defaultdict(list)
    for instrument, members in by_instrument.items():
        nights = _nights(members, longitude_deg)
        for frame in members:
            groups[_key(frame, instrument, nights[frame.path], one_target)].append(frame)
    found = [_group(key, members) for key, members in groups.items()]
    return sorted(found, key=lambda g: (_CALIBRATION_FIRST.index(g.kind), g.name(None)))


def _nights(frames: Sequence[ScannedFrame], longitude_deg: float | None) -> Mapping[object, str]:
    """Return the night of every frame of one instrument, by path."""
    stated = [f.header.longitude_deg for f in frames if f.header.longitude_deg is not None]
    # Calibration frames often lack what the light frames of the same camera state.
    common = stated[0] if stated and longitude_deg is None else longitude_deg
    lights = [f.header.utc_start for f in frames if f.header.kind is FrameKind.LIGHT]
    noon_h = guess_noon_h(utc for utc in lights if utc is not None)
    return {
        frame.path: night_of(
            frame.header.utc_start,
            frame.header.longitude_deg
            if longitude_deg is None and frame.header.longitude_deg is not None
            else common,
            noon_h=noon_h,
        )
        for frame in frames
    }


def _key(frame: ScannedFrame, instrument: str, night: str, one_target: bool) -> _Key:
    header = frame.header
    is_light = header.kind is FrameKind.LIGHT
    return _Key(
        kind=header.kind,
        instrument=instrument,
        filter_name=header.filter_name if is_light or header.kind is FrameKind.FLAT else None,
        exposure_s=_nominal(header.exposure_s) if header.kind is FrameKind.DARK else None,
        night=night,
        object_name=header.object_name if is_light and not one_target else None,
        flat_kind=header.flat_kind,
        gain_setting=header.gain_setting,
        sections=(header.data_section, header.overscan_section),
        size=(header.height, header.width, header.binning_x, header.binning_y),
    )


def _group(key: _Key, members: Sequence[ScannedFrame]) -> FrameGroup:
    return FrameGroup(
        kind=key.kind,
        instrument=key.instrument,
        filter_name=key.filter_name,
        exposure_s=key.exposure_s,
        night=key.night,
        object_name=members[0].header.object_name,
        frames=tuple(members),
        flat_kind=key.flat_kind,
    )


def _binning(frame: ScannedFrame) -> str:
    x, y = frame.header.binning_x, frame.header.binning_y
    if x == y:
        return f" bin {x}" if x > 1 else ""
    return f" bin {x}x{y}"


def _fitted(name: str) -> str:
    """Cut a name that is too long for its column, so that it still differs from its like."""
    if len(name) <= MAX_NAME:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: MAX_NAME - len(mark) - 2]}… {mark}"


def _nominal(exposure_s: float) -> float:
    """Round a measured exposure to the time that was asked for: three digits.

    Examples
    --------
    >>> _nominal(29.9998), _nominal(0.1), _nominal(1200.4)
    (30.0, 0.1, 1200.0)
    """
    return float(f"{exposure_s:.3g}")
