"""Whether a manager does its job, and if not, why not."""

from dataclasses import dataclass

from tianyu.manager.manager import Manager

STUCK_S = 600.0
"""A round may wait for the database as long as the network's timeout lets it."""

ROUND_S = 3.0
"""A round takes milliseconds, and some seconds where a transaction is tried again."""


@dataclass(frozen=True)
class ManagerHealth:
    """Judges one manager."""

    manager: Manager

    def complaints(self, patience_s: float) -> list[str]:
        """Return what keeps it from its job for longer than ``patience_s``, in words."""
        manager = self.manager
        found = []
        silent_s = self._silent_s()
        if silent_s > max(patience_s, 2 * manager.config.poll_s + ROUND_S):
            why = f": {manager.complaint}" if manager.complaint else ""
            found.append(f"the database has let no round end well for {silent_s:.0f} s{why}")
        trouble = manager.broker.trouble()
        if trouble is not None and trouble.lasts_s >= patience_s:
            found.append(f"{trouble.text}, for {trouble.lasts_s:.0f} s")
        return found

    def unready(self) -> list[str]:
        """Return why it moves nothing now."""
        found = self.complaints(0.0)
        if self.manager.broker.is_blocked:
            found.append("the broker blocks publishing: memory or disk is short there")
        return found

    def hang_ups(self) -> list[str]:
        """Return what only a restart mends."""
        silent_s = self._silent_s()
        if self.manager.complaint is None and silent_s > STUCK_S:
            return [f"its loop has not turned for {silent_s:.0f} s"]
        return []

    def _silent_s(self) -> float:
        return self.manager.clock() - self.manager.answered_at
