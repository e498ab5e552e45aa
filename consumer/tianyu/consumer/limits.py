"""What stops a child that works: a lost claim, a person, and limits of time and memory."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from tianyu.consumer.children import Child, Stop, Stopped
from tianyu.consumer.usage import has_subprocesses, resident_bytes

LOOK_S = 1.0
"""How often memory is measured; a look costs milliseconds where there is a limit."""

OUTGROWN = 0.5
"""Share of the memory limit above which a child is replaced once it is idle: what its earlier
steps left behind must not be charged to the next."""

_TEXTS = {
    Stop.CLAIM_LOST: "another worker owns it by now",
    Stop.CANCELLED: "cancelled by hand",
}


@dataclass
class Limits:
    """Watches over children.

    Attributes
    ----------
    time_limits_s : mapping of str to float
        By command.
    memory_limit_bytes : int or None
        For a child and its subprocesses together.
    """

    time_limits_s: Mapping[str, float]
    memory_limit_bytes: int | None
    _last_look: float = 0.0

    def enforce(self, child: Child, stops: Mapping[int, Stop], *, spare_slow: bool) -> None:
        """Ask a child to end if there is a reason.

        Parameters
        ----------
        child : Child
        stops : mapping of int to Stop
            What the keeper of leases found out, by process.
        spare_slow : bool
            Do not judge how long it takes: it may be waiting for the database.
        """
        if child.claim is None:
            if child.has_outgrown:
                child.stop(Stopped(Stop.NO_FAULT, "its earlier steps left too much behind"))
            return
        limit_s = self.time_limits_s.get(child.claim.command, float("inf"))
        stop = stops.get(child.claim.process_id)
        if stop is not None:
            child.stop(Stopped(stop, _TEXTS[stop]))
        elif child.busy_s > limit_s and not spare_slow:
            text = (
                f"it exceeded the time limit of its step, {limit_s:g} s; give it less to do at a "
                "time, or give the step a longer time_limit_s"
            )
            child.stop(Stopped(Stop.LIMIT, text))

    def is_time_to_look(self) -> bool:
        """Tell whether memory is to be measured now."""
        now = time.monotonic()
        if now - self._last_look < LOOK_S:
            return False
        self._last_look = now
        return True

    def weigh(self, child: Child) -> None:
        """Measure a child's memory; ask it to end if it holds too much.

        An idle one is also replaced when its steps left programs running: nobody needs them,
        and what they hold would be charged to whoever comes next.
        """
        limit, os_pid = self.memory_limit_bytes, child.process.pid
        if os_pid is None:
            return
        held = resident_bytes(os_pid, with_family=limit is not None)
        child.peak_memory_bytes = max(child.peak_memory_bytes or 0, held)
        if child.claim is None and child.has_worked:
            child.has_worked = False
            child.has_strays = has_subprocesses(os_pid)
        has_too_much = limit is not None and held > OUTGROWN * limit
        child.has_outgrown = has_too_much or child.has_strays
        if limit is None:
            return
        if child.claim is not None and held > limit:
            text = (
                f"it exceeded the memory limit: {held / 1e6:.0f} of {limit / 1e6:.0f} MB; give it "
                "less to do at a time, or raise memory_limit_bytes"
            )
            child.stop(Stopped(Stop.LIMIT, text))
