"""A camera that is none: believable frames of a simulated night, on a clock."""

import time
from collections import Counter

from tianyu.pipelines.cameras.interface import CameraError, CapturedFrame
from tianyu.pipelines.simulation.plan import FrameKind, NightPlan
from tianyu.pipelines.simulation.render import SimulatedFrame, simulate


class SimulatedCamera:
    """Gives the frames of a simulated night one after the other.

    Parameters
    ----------
    plan : NightPlan
        Its exposure times and its clock stand in the headers, whatever is asked for.
    kind : FrameKind
        Of the frames to come.
    speed : float
        Seconds of the simulated night per second of waiting; an exposure of 60 s takes one
        second at 60.
    """

    def __init__(self, plan: NightPlan, kind: FrameKind, speed: float = 1.0) -> None:
        self._plan, self._kind, self._speed = plan, kind, speed
        self._taken: Counter[FrameKind] = Counter()
        self._ready_at: float | None = None

    def expose(self, exposure_s: float, *, is_light: bool) -> None:
        """Begin an exposure."""
        if self._ready_at is not None:
            raise CameraError("the simulated camera is exposing already; read or stop it first")
        if is_light != (self._kind in {FrameKind.LIGHT, FrameKind.FLAT}):
            raise CameraError(f"a {self._kind.value} frame and an open shutter do not go together")
        self._ready_at = time.monotonic() + exposure_s / self._speed

    def read(self) -> CapturedFrame:
        """Wait for the end of the exposure and return its frame."""
        if self._ready_at is None:
            raise CameraError("the simulated camera has no exposure under way")
        try:
            frame = simulate(self._plan, self._kind, self._taken[self._kind])
        except IndexError as error:
            raise CameraError(f"the simulated night has no more frames: {error}") from error
        time.sleep(max(0.0, self._ready_at - time.monotonic()))
        self._ready_at = None
        self._taken[self._kind] += 1
        return CapturedFrame(frame.raw, _cards(frame))

    def stop(self) -> None:
        """Break off the exposure."""
        self._ready_at = None


def _cards(frame: SimulatedFrame) -> dict[str, tuple[str | int | float | bool, str]]:
    return {keyword: (value, comment) for keyword, value, comment in frame.header}
