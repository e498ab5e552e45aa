"""A small pool of supervised child processes."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

from tianyu.consumer.child import child_main
from tianyu.consumer.messages import Assignment, Ready, Report
from tianyu.schema.errors import TianyuError

TERMINATE_GRACE_S = 5.0

FAILED_STARTS = 3
"""Children that died in a row before they could work: the installation is broken, not a step."""


class ChildStartError(TianyuError):
    """Child processes cannot start; no process of the database is to blame."""


@dataclass
class Child:
    """One child process and what it is busy with."""

    process: SpawnProcess
    pipe: Pipe
    assignment: Assignment | None = None
    started: float = 0.0
    is_ready: bool = False

    @property
    def busy_s(self) -> float:
        """How long the current assignment has been running, seconds."""
        return time.monotonic() - self.started if self.assignment else 0.0


@dataclass(frozen=True)
class Died:
    """A child ended without a report."""

    exit_code: int | None

    def __str__(self) -> str:
        """Say how it ended, for the error text of the process."""
        if self.exit_code is not None and self.exit_code < 0:
            return f"its child process was killed by signal {-self.exit_code}"
        return f"its child process ended by itself with exit code {self.exit_code}"


@dataclass
class ChildPool:
    """Keeps ``size`` children alive; a dead one is replaced."""

    database_url: str
    size: int
    children: list[Child] = field(default_factory=list)
    failed_starts: int = 0

    def start(self) -> None:
        """Start all children."""
        self.children = [self._spawn() for _ in range(self.size)]

    def idle(self) -> list[Child]:
        """Return the children that can take an assignment."""
        return [c for c in self.children if c.is_ready and c.assignment is None]

    def busy(self) -> list[Child]:
        """Return the children with an assignment."""
        return [child for child in self.children if child.assignment is not None]

    def assign(self, child: Child, assignment: Assignment) -> None:
        """Hand a claimed process to an idle child."""
        child.assignment, child.started = assignment, time.monotonic()
        # A child that died while idle is seen as a death with this assignment right after.
        try:
            child.pipe.send(assignment)
        except (BrokenPipeError, ConnectionResetError):
            child.process.join(TERMINATE_GRACE_S)

    def collect(self, timeout_s: float) -> Iterator[tuple[Assignment, Report | Died]]:
        """Wait for children and yield what became of their assignments."""
        watched: Sequence[Pipe | int] = [
            handle for child in self.children for handle in (child.pipe, child.process.sentinel)
        ]
        signalled = set(wait(watched, timeout_s))
        for child in list(self.children):
            if child.pipe in signalled or child.process.sentinel in signalled:
                yield from self._take(child)

    def kill(self, child: Child) -> None:
        """End a child, gently first; :meth:`collect` then reports its death."""
        child.process.terminate()
        child.process.join(TERMINATE_GRACE_S)
        if child.process.is_alive():
            child.process.kill()
            child.process.join(TERMINATE_GRACE_S)

    def stop(self) -> None:
        """End all children."""
        for child in self.children:
            child.pipe.close()
        for child in self.children:
            child.process.join(0.0 if child.assignment else TERMINATE_GRACE_S)
            if child.process.is_alive():
                self.kill(child)
        self.children = []

    def _take(self, child: Child) -> Iterator[tuple[Assignment, Report | Died]]:
        message: Ready | Report | Died
        try:
            # A child may have reported and died in one breath: its report comes first.
            message = child.pipe.recv() if child.pipe.poll() else Died(child.process.exitcode)
        except (EOFError, ConnectionResetError):
            child.process.join(TERMINATE_GRACE_S)
            message = Died(child.process.exitcode)
        if isinstance(message, Ready):
            child.is_ready, self.failed_starts = True, 0
            return
        assignment, child.assignment = child.assignment, None
        if isinstance(message, Died):
            self._replace(child)
        if assignment is not None:
            yield assignment, message

    def _replace(self, child: Child) -> None:
        child.pipe.close()
        if not child.is_ready:
            self.failed_starts += 1
        if self.failed_starts >= FAILED_STARTS:
            raise ChildStartError(
                f"{self.failed_starts} child processes in a row ended before they could work; "
                "the reason stands above, most likely a module that cannot be imported"
            )
        self.children[self.children.index(child)] = self._spawn()

    def _spawn(self) -> Child:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=child_main, args=(theirs, self.database_url), name="tianyu-step", daemon=True
        )
        process.start()
        theirs.close()
        return Child(process, ours)
