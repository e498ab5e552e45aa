"""The line that tells how an open night goes."""

from statistics import median
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tianyu.cli.words import plural
from tianyu.publisher.nightwatch import NightWatch
from tianyu.publisher.openobservation import OpenObservation
from tianyu.publisher.settling import Settling


class WatchLine:
    """Shows what has come and what has been measured: live in a terminal, else when it changes.

    Parameters
    ----------
    console : Console
    night : NightWatch
    settling : Settling
    """

    def __init__(self, console: Console, night: NightWatch, settling: Settling) -> None:
        self._console, self._night, self._settling = console, night, settling
        self._live = Live(console=console, refresh_per_second=4) if console.is_terminal else None
        self._told: dict[int, str] = {}

    def __enter__(self) -> "WatchLine":
        """Begin to show."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the last line standing."""
        if self._live is not None:
            self._live.stop()

    def show(self) -> None:
        """Show how it is now."""
        if self._live is not None:
            self._live.update(Text("\n").join(self._lines()))
            return
        for key, night in self._night.open.items():
            if self._told.get(key) != night.state:
                self._told[key] = night.state
                self._console.print(f"{night.observation.name}: {night.state}", markup=False)

    def _lines(self) -> list[Text]:
        night = self._night
        seen = night.n_taken + len(night.rejected) + len(self._settling)
        head = f"{plural(seen, 'frame')} seen, {night.n_taken} taken"
        if len(self._settling):
            head += f", {len(self._settling)} not whole yet"
        if night.rejected:
            head += f", {len(night.rejected)} not used"
        return [Text(head), *(Text(observation_line(n)) for n in night.open.values())]


def observation_line(night: OpenObservation) -> str:
    """Say how far one observation is, and how long after its frame a point is there."""
    parts = [f"{night.observation.name}: {night.state}"]
    if night.live_run is not None:
        parts.append(f"{night.n_measured} measured")
    if night.waiting and night.live_run is not None:
        parts.append(f"{len(night.waiting)} to come")
    if night.n_failed:
        parts.append(f"{night.n_failed} failed")
    if night.latencies:
        last, middle = night.latencies[-1], median(night.latencies)
        parts.append(f"latency {last:.1f} s, median {middle:.1f} s")
    return ", ".join(parts)
