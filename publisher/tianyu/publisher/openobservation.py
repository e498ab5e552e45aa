"""What is known of one observation while its night is open."""

from dataclasses import dataclass, field

from tianyu.publisher.registering import RegisteredObservation


@dataclass
class OpenObservation:
    """One observation of light frames while its night is open.

    Attributes
    ----------
    template_run : int or None
        Run of its first frames; None: not published, or not needed.
    live_run : int or None
    reduced_run : int or None
        The run that holds all of its frames already: an earlier night of the folder.
    n_wanted : int
        Frames that a template needs.
    waiting : dict of int to float
        Processes that measure a frame and have not succeeded yet, and when the frame was whole.
    latencies : list of float
        From "file whole" to "relative flux committed", seconds; of frames that this watcher took.
    """

    observation: RegisteredObservation
    n_wanted: int
    template_run: int | None = None
    live_run: int | None = None
    reduced_run: int | None = None
    newest_before: int | None = None
    is_stale: bool = True
    waiting: dict[int, float] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    n_measured: int = 0
    n_failed: int = 0

    @property
    def state(self) -> str:
        """What it is doing, in words."""
        if self.reduced_run is not None:
            return f"reduced before, run {self.reduced_run}"
        if self.live_run is not None:
            return f"live, run {self.live_run}"
        if self.template_run is not None:
            return f"making a template, run {self.template_run}"
        return f"waiting for {self.n_wanted} frames"
