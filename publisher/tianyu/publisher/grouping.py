"""From loose frames to observations: frames that are processed together."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tianyu.pipelines.fits import FrameKind
from tianyu.publisher.scanning import ScannedFrame

HOURS_PER_DEGREE = 1.0 / 15.0


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

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(ny, nx)`` of the frames."""
        header = self.frames[0].header
        return header.height, header.width

    def name(self, target: str | None) -> str:
        """Return the name under which this group is registered as an observation."""
        what = {
            FrameKind.LIGHT: target or self.object_name or "field",
            FrameKind.DARK: f"dark {self.exposure_s:g} s" if self.exposure_s else "dark",
        }.get(self.kind, self.kind.value)
        height, width = self.shape
        binning = self.frames[0].header.binning_x
        size = f"{width}x{height}" + (f" bin {binning}" if binning > 1 else "")
        parts = [what, self.filter_name, self.night, self.instrument, size]
        return ", ".join(part for part in parts if part)


def instrument_name(frame: ScannedFrame) -> str:
    """Return the telescope and camera of a frame, as far as the header knows them."""
    header = frame.header
    names = [header.telescope_name, header.instrument_name]
    return " ".join(name for name in names if name) or "unknown camera"


def night_of(utc: datetime | None, longitude_deg: float | None) -> str:
    """Return the date on which a night began: the local date at the noon before.

    Examples
    --------
    >>> night_of(datetime(2017, 12, 20, 4, 15), -110.88)
    '2017-12-19'
    """
    if utc is None:
        return "unknown night"
    local = utc + timedelta(hours=(longitude_deg or 0.0) * HOURS_PER_DEGREE)
    return (local - timedelta(hours=12)).date().isoformat()


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
    groups: dict[tuple[object, ...], list[ScannedFrame]] = {}
    for frame in frames:
        header = frame.header
        longitude = header.longitude_deg if longitude_deg is None else longitude_deg
        key = (
            header.kind,
            instrument_name(frame),
            header.filter_name if header.kind in {FrameKind.FLAT, FrameKind.LIGHT} else None,
            header.exposure_s if header.kind is FrameKind.DARK else None,
            night_of(header.utc_start, longitude),
            header.object_name if header.kind is FrameKind.LIGHT and not one_target else None,
            header.height,
            header.width,
            header.binning_x,
        )
        groups.setdefault(key, []).append(frame)
    found = [
        FrameGroup(
            kind=members[0].header.kind,
            instrument=instrument_name(members[0]),
            filter_name=key[2],  # type: ignore[arg-type]  # the key is a plain tuple
            exposure_s=key[3],  # type: ignore[arg-type]
            night=str(key[4]),
            object_name=members[0].header.object_name,
            frames=tuple(members),
        )
        for key, members in groups.items()
    ]
    calibration_first = [FrameKind.BIAS, FrameKind.DARK, FrameKind.FLAT, FrameKind.LIGHT]
    return sorted(found, key=lambda g: (calibration_first.index(g.kind), g.name(None)))
