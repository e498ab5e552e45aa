"""Whether a consumer does its job, and if not, why not."""

import time
from dataclasses import dataclass

from tianyu.consumer.consumer import Consumer

STUCK_S = 120.0
"""The loop turns at least every second or so; only a database that takes a statement and does
not answer keeps it for longer, and that is for the database's timeout to end."""

LATE_S = 10.0
"""A heartbeat that is later than this waits for an answer of the database."""


@dataclass(frozen=True)
class ConsumerHealth:
    """Judges one consumer."""

    consumer: Consumer

    def complaints(self, patience_s: float) -> list[str]:
        """Return what keeps it from its job for longer than ``patience_s``, in words."""
        turned_at = self.consumer.turned_at
        if turned_at is None:
            return ["it is still starting"]
        found = [*self.hang_ups(), *self._database(patience_s)]
        trouble = self.consumer.broker.trouble()
        if trouble is not None and trouble.lasts_s >= patience_s:
            found.append(f"{trouble.text}, for {trouble.lasts_s:.0f} s")
        return found

    def unready(self) -> list[str]:
        """Return why it would not begin new work now."""
        found = self.complaints(0.0)
        if self.consumer.turned_at is None:
            return found
        if self.consumer.is_draining:
            found.append("it is asked to stop and begins nothing new")
        if self.consumer.paused_s:
            found.append(f"the disk is full; it begins nothing for {self.consumer.paused_s:.0f} s")
        return found

    def hang_ups(self) -> list[str]:
        """Return what only a restart mends."""
        turned_at = self.consumer.turned_at
        if turned_at is None:
            return []
        found = []
        silent_s = time.monotonic() - turned_at
        if silent_s > STUCK_S:
            found.append(f"its loop has not turned for {silent_s:.0f} s")
        if not self.consumer.leases.is_alive:
            found.append("the thread that keeps its leases has ended")
        return found

    def _database(self, patience_s: float) -> list[str]:
        leases = self.consumer.leases
        silent_s = time.monotonic() - leases.answered_at
        is_late = silent_s > leases.period_s + LATE_S
        is_away = leases.is_database_away and silent_s >= patience_s
        if not (is_away or is_late):
            return []
        return [f"the database has not answered a heartbeat for {silent_s:.0f} s"]
