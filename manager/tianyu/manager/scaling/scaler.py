"""The loop that looks at a queue, decides, and starts or drains consumers."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy.exc import DBAPIError

from tianyu.manager.logs import fields
from tianyu.manager.scaling.crew import Crew
from tianyu.manager.scaling.decision import Policy, Sample, decide, forget_old
from tianyu.manager.scaling.load import load_of
from tianyu.schema.database import Database

logger = logging.getLogger(__name__)

REMEMBERED = 1000
"""Decisions that are kept: a service runs for weeks."""


@dataclass(frozen=True)
class Decision:
    """One change of the number of consumers.

    Attributes
    ----------
    time_s : float
    load : int
        What the queue held; counting stops where more would make no difference.
    before, after : int
    """

    time_s: float
    load: int
    before: int
    after: int


@dataclass
class Scaler:
    """Keeps a crew as large as its work.

    Parameters
    ----------
    database : Database
    queue_id : int
    crew : Crew
    policy : Policy
    site, group : str
        For the log.
    poll_s : float
    clock : callable
    """

    database: Database
    queue_id: int
    crew: Crew
    policy: Policy
    site: str
    group: str
    poll_s: float = 1.0
    clock: Callable[[], float] = time.monotonic
    decisions: deque[Decision] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _samples: list[Sample] = field(default_factory=list)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> None:
        """Ask to stop; safe in a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Look again and again until stopped."""
        try:
            while not self._stopping.is_set():
                self.turn()
                self._stopping.wait(self.poll_s)
        finally:
            self.crew.close()

    def turn(self) -> Decision | None:
        """Look once, and do what follows; return the change, if there was one.

        While the database is away nothing is known, and nothing is changed.
        """
        try:
            load = self._load()
        except DBAPIError as error:
            logger.warning("the database is away: %s", error.orig, extra=fields("wait"))
            return None
        now = self.clock()
        self._samples = forget_old(self.policy, [*self._samples, Sample(now, load)])
        try:
            before, after, what = self._adapt()
        except OSError as error:
            # An engine that restarts, a machine without room for another process.
            logger.warning(
                "consumers cannot be started or drained now: %s", error, extra=fields("wait")
            )
            return None
        if before == after:
            return None
        decision = Decision(now, load, before, after)
        self.decisions.append(decision)
        logger.info(
            "%d -> %d consumers for %s processes; %s",
            before, after, self._in_words(load), what,
            extra=fields("scale", site=self.site, group=self.group),
        )  # fmt: skip
        return decision

    def _adapt(self) -> tuple[int, int, str]:
        """Start or drain; return how many take work, before and after, and what was done."""
        at_work = [member for member in self.crew.members() if not member.is_draining]
        target = decide(self.policy, self._samples, len(at_work))
        if target > len(at_work):
            names = self.crew.start(target - len(at_work))
            return len(at_work), len(at_work) + len(names), f"started {', '.join(names)}"
        # The newest go first: the others have loaded what they need.
        names = [member.name for member in at_work[target:]]
        self.crew.drain(names)
        return len(at_work), target, f"draining {', '.join(names)}"

    @property
    def _enough(self) -> int:
        return self.policy.most * self.policy.load_each

    def _load(self) -> int:
        with self.database.read() as connection:
            return load_of(connection, self.queue_id, self._enough)

    def _in_words(self, load: int) -> str:
        return f"{load} or more" if load >= self._enough else str(load)
