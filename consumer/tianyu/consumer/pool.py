"""A small pool of supervised child processes."""

import itertools
import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait

from tianyu.consumer.children import TERMINATE_GRACE_S, Child, Died, Stop, Stopped, spawn
from tianyu.consumer.messages import Ready, Report, Workplace
from tianyu.consumer.scratch import Scratch, remove_stale
from tianyu.schema.errors import TianyuError
from tianyu.schema.transitions.claim import Claim

FAILED_STARTS = 3
"""Children that died in a row before they could work: the installation is broken, not a step."""

GLANCE_S = 1.0
"""How often children are looked at that give no sign: a subprocess of a step may hold the pipe
open by which a death is seen."""


class ChildStartError(TianyuError):
    """Child processes cannot start; no process of the database is to blame."""


@dataclass(frozen=True)
class Ended:
    """What became of one claim.

    Attributes
    ----------
    report : Report or Died or None
        None if the work never began.
    stopped : Stopped or None
        Why its child was told to stop, if it was.
    duration_s : float
        From its being handed to a child to its end, seconds.
    """

    claim: Claim
    report: Report | Died | None
    stopped: Stopped | None = None
    duration_s: float = 0.0


@dataclass
class ChildPool:
    """Keeps ``size`` children alive; a dead one is replaced."""

    place: Workplace
    size: int
    children: list[Child] = field(default_factory=list)
    failed_starts: int = 0
    takes_next: bool = True

    def __post_init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._numbers = itertools.count()
        self._early: list[Ended] = []
        self._last_glance = 0.0
        self._waking, self._waker = self._context.Pipe(duplex=False)

    def start(self) -> None:
        """Start all children."""
        remove_stale()
        self._scratch = Scratch()
        self.children = [self._spawn() for _ in range(self.size)]

    def idle(self) -> list[Child]:
        """Return the children that can take a claim."""
        return [child for child in self.children if child.is_idle]

    def busy(self) -> list[Child]:
        """Return the children that work on a claim."""
        return [child for child in self.children if child.claim is not None]

    def assign(self, child: Child, claim: Claim) -> None:
        """Hand a claimed process to an idle child."""
        if not child.give(claim):
            self._early.append(Ended(claim, None))

    def prepare_idle(self) -> None:
        """Let children that have nothing to do load what measuring frames takes, once."""
        for child in self.idle():
            child.prepare()

    def let_take_next(self, allowed: bool) -> None:
        """Say whether children may claim by themselves; safe in a signal handler."""
        self.takes_next = allowed
        for child in self.children:
            child.may_take_next.value = allowed and not child.has_outgrown

    def wake(self) -> None:
        """Let :meth:`collect` return early; safe in a signal handler."""
        self._waker.send_bytes(b"!")

    def collect(self, timeout_s: float) -> Iterator[Ended]:
        """Wait for children and yield what became of their claims.

        Raises
        ------
        ChildStartError
            If children die before they can work, one after the other.
        """
        watched: Sequence[Pipe | int] = [
            handle for child in self.children for handle in (child.pipe, child.process.sentinel)
        ]
        timeout_s = 0.0 if self._early else min(timeout_s, GLANCE_S)
        signalled = set(wait([self._waking, *watched], timeout_s))
        while self._waking.poll():
            self._waking.recv_bytes()
        early, self._early = self._early, []
        yield from early
        for child in list(self.children):
            if child.pipe in signalled or child.process.sentinel in signalled:
                yield from _messages(child)
            if child.process.sentinel in signalled or child.is_broken:
                yield from self._replace(child)
        yield from self._glance()

    def stop(self) -> list[Ended]:
        """End all children; return what became of the claims they still had."""
        for child in self.children:
            child.stop(Stopped(Stop.NO_FAULT, "the consumer was asked to stop"))
        deadline = time.monotonic() + TERMINATE_GRACE_S
        for child in self.children:
            child.process.join(max(deadline - time.monotonic(), 0.0))
        ended = self._early + [last for child in self.children for last in _end(child)]
        self.children, self._early = [], []
        self._scratch.remove()
        return ended

    def _glance(self) -> Iterator[Ended]:
        now = time.monotonic()
        if now - self._last_glance < GLANCE_S:
            return
        self._last_glance = now
        for child in list(self.children):
            child.insist()
            if child.process.exitcode is not None:
                yield from _messages(child)
                yield from self._replace(child)

    def _replace(self, child: Child) -> Iterator[Ended]:
        self.failed_starts = 0 if child.is_ready else self.failed_starts + 1
        claim, stopped, busy_s = child.claim, child.stopped, child.busy_s
        died = child.bury()
        if self.failed_starts >= FAILED_STARTS:
            raise ChildStartError(
                f"{self.failed_starts} child processes in a row ended before they could work, "
                f"the last one with exit code {died.exit_code}; the reason stands above, most "
                "likely a module that cannot be imported"
            )
        self.children[self.children.index(child)] = self._spawn()
        if claim is not None:
            yield Ended(claim, died, stopped, busy_s)

    def _spawn(self) -> Child:
        last_words = self._scratch.path / f"{next(self._numbers)}.txt"
        return spawn(self._context, self.place, last_words, self.takes_next)


def _messages(child: Child) -> Iterator[Ended]:
    """Yield the reports of a child; one that died may have reported in the same breath."""
    while True:
        claim, stopped, busy_s = child.claim, child.stopped, child.busy_s
        message = child.receive()
        if message is None:
            return
        if claim is not None and not isinstance(message, Ready):
            yield Ended(claim, message, stopped, busy_s)


def _end(child: Child) -> Iterator[Ended]:
    yield from _messages(child)
    claim, stopped, busy_s = child.claim, child.stopped, child.busy_s
    died = child.bury()
    if claim is not None:
        yield Ended(claim, died, stopped, busy_s)
