"""``tianyu frames`` as a person sees it."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from tianyu.cli.console import new_table
from tianyu.cli.queries.frames import FrameRecord
from tianyu.cli.words import number, plural

_COLUMNS = ("sky", "rms", "stars", "FWHM", "elong.", "Δx", "Δy", "rot. °", "transp.", "airmass")


def frames_view(frames: Sequence[FrameRecord], title: str) -> RenderableType:
    """Return a line per frame, and how many were used."""
    table = new_table()
    table.add_column("frame")
    table.add_column("mid (UTC)")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    table.add_column("verdict", overflow="fold")
    for frame in frames:
        style = "dim" if frame.is_good is False else ""
        table.add_row(*_cells(frame), _verdict(frame), style=style)
    good = sum(frame.is_good is True for frame in frames)
    judged = any(frame.is_good is not None for frame in frames)
    ending = f", {good} of them good" if judged else ", not judged yet"
    line = f"{plural(len(frames), 'frame')} of {title}{ending} (sky in ADU, lengths in pixels)"
    return Group(table, Text(line), *_moon(frames), *_time_notes(frames))


def _moon(frames: Sequence[FrameRecord]) -> list[Text]:
    """Say where the moon was, in one line for the night."""
    known = [f for f in frames if f.moon_distance_deg is not None]
    if not known:
        return []
    distances = [f.moon_distance_deg for f in known if f.moon_distance_deg is not None]
    heights = [f.moon_altitude_deg for f in known if f.moon_altitude_deg is not None]
    lit = max(f.moon_illumination or 0.0 for f in known)
    return [
        Text(
            f"moon: {100 * lit:.0f} % lit, {min(distances):.0f}° to {max(distances):.0f}° from "
            f"the field, at altitudes of {min(heights):.0f}° to {max(heights):.0f}°"
        )
    ]


def _time_notes(frames: Sequence[FrameRecord]) -> list[Text]:
    """Name the first frame whose header disagrees, and how many others do."""
    noted = [frame for frame in frames if frame.time_note]
    if not noted:
        return []
    others = f" (and {plural(len(noted) - 1, 'frame')} more)" if len(noted) > 1 else ""
    return [Text(f"{noted[0].name}: {noted[0].time_note}{others}", style="yellow")]


def _cells(frame: FrameRecord) -> list[str | Text]:
    return [
        Text(frame.name),
        "–" if frame.utc_mid is None else frame.utc_mid.strftime("%H:%M:%S"),
        number(frame.sky_adu, ".1f"),
        number(frame.sky_rms_adu, ".2f"),
        number(frame.n_stars, "d"),
        number(frame.fwhm_pix, ".2f"),
        number(frame.elongation, ".2f"),
        number(frame.shift_x_pix, "+.2f"),
        number(frame.shift_y_pix, "+.2f"),
        number(frame.rotation_deg, "+.3f"),
        number(frame.transparency, ".2f"),
        number(frame.airmass, ".3f"),
    ]


def _verdict(frame: FrameRecord) -> Text:
    if frame.is_good is None:
        text = Text(frame.reason or "not judged yet", style="dim")
    elif frame.is_good:
        text = Text("good" + (f": {frame.reason}" if frame.reason else ""), style="green")
    else:
        text = Text(frame.reason or "rejected", "red")
    if frame.said is not None and not frame.is_by_hand:
        text.append(f" ({frame.said}, in a run after this one)", style="yellow")
    return text
