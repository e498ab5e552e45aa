"""What registering and publishing found, in lines for people: nothing is skipped in silence."""

from rich.console import Console
from rich.markup import escape

from tianyu.publisher.publishing import PublishedRun
from tianyu.publisher.registering import Registration


def show_registration(console: Console, registration: Registration) -> None:
    """Say which files are not used, what was assumed, and what the frames are calibrated with."""
    for rejected in registration.rejected:
        say(console, "not used", frame_text(rejected.path.name, rejected.reason), "yellow")
    for note in registration.notes:
        say(console, "note", note, "dim")
    for observation in registration.observations:
        if observation.run is not None:
            show_masters(console, observation.name, observation.run)


def show_masters(console: Console, observation: str, run: PublishedRun) -> None:
    """Say which masters calibrate the frames of a run, and which correction is skipped."""
    skipped = [note for note in run.notes if "skipped" in note]
    taken = [note for note in run.notes if "skipped" not in note]
    for note in skipped:
        say(console, "skipped", f"{observation}: {note}", "yellow")
    if taken:
        say(console, "calibration", f"{observation}: {'; '.join(taken)}", "dim")


def frame_text(name: str, reason: str) -> str:
    """Return a frame and a reason; many reasons name the frame already.

    Examples
    --------
    >>> frame_text("a.fits", "the frame has 2 stars")
    'a.fits: the frame has 2 stars'
    """
    return reason if name in reason else f"{name}: {reason}"


def say(console: Console, label: str, text: str, style: str) -> None:
    """Print one line, however long: what looks for it in a file finds it whole."""
    console.print(f"[{style}]{label}[/]: {escape(text)}", soft_wrap=True)
