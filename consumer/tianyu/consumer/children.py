"""One supervised child process, and what is known about it."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import c_bool, c_double
from dataclasses import dataclass
from enum import Enum, auto
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from types import ModuleType

from tianyu.consumer.child import child_main
from tianyu.consumer.family import ask_to_end, end
from tianyu.consumer.lastwords import take_last_words
from tianyu.consumer.messages import Prepare, Ready, Report, Succeeded, Workplace
from tianyu.consumer.usage import cpu_seconds_of
from tianyu.schema.transitions.claim import Claim

TERMINATE_GRACE_S = 5.0
"""From SIGTERM to SIGKILL: time for a step's subprocess to remove what it left half-written."""

EXIT_S = 0.5
"""Between a broken pipe and the end of its process lie microseconds."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""Read by the libraries of linear algebra when they are loaded."""

JOIN_S = 5.0
"""A process that was killed is gone in milliseconds, unless the system hangs."""


class Stop(Enum):
    """Why a child is told to stop, and so what becomes of its process."""

    CLAIM_LOST = auto()
    """Somebody else owns it: nothing is recorded."""
    CANCELLED = auto()
    LIMIT = auto()
    """It took too long or too much memory: a failed attempt."""
    NO_FAULT = auto()
    """The consumer ends, or the child was told to stop for what it did before: given back."""


@dataclass(frozen=True)
class Stopped:
    """One reason to stop, in words for people."""

    kind: Stop
    text: str


@dataclass(frozen=True)
class Died:
    """A child ended without a report."""

    exit_code: int | None
    last_words: str = ""
    peak_memory_bytes: int | None = None
    cpu_s: float | None = None

    @property
    def event(self) -> str:
        """How it ended, in one line."""
        if self.exit_code is not None and self.exit_code < 0:
            return f"its child process was killed by {_name_of(-self.exit_code)}"
        return f"its child process ended by itself with exit code {self.exit_code}"

    @property
    def advice(self) -> str:
        """What a person can do about an end that nobody asked for."""
        return _ADVICE.get(-(self.exit_code or 0), _OTHER_ADVICE)

    def __str__(self) -> str:
        """Say how it ended, what to do, and where it was, for the error text of the process."""
        return told(f"{self.event}; {self.advice}", self)


_OTHER_ADVICE = "a library that it uses has ended it; try it by hand with the same parameters"

_CRASH_ADVICE = "compiled code crashed; update the library below, or report it with this text"

_ADVICE = {
    signal.SIGSEGV: _CRASH_ADVICE,
    signal.SIGABRT: _CRASH_ADVICE,
    signal.SIGFPE: _CRASH_ADVICE,
    signal.SIGILL: _CRASH_ADVICE,
    getattr(signal, "SIGBUS", -1): _CRASH_ADVICE,
    getattr(signal, "SIGKILL", -1): "most likely the system was out of memory (see its kernel "
    "log): run fewer processes at a time, or set memory_limit_bytes",
}
"""By the signal that killed a child."""


def told(text: str, died: Died) -> str:
    """Return a text, followed by where a dead child was, if that is known."""
    return f"{text}; it was at\n{died.last_words}" if died.last_words else text


@dataclass
class Child:
    """One child process and what it is busy with."""

    process: SpawnProcess
    pipe: Pipe
    may_take_next: c_bool
    cpu_before_s: c_double
    last_words: Path
    is_ready: bool = False
    is_broken: bool = False
    claim: Claim | None = None
    started: float = 0.0
    stopped: Stopped | None = None
    kill_at: float | None = None
    has_outgrown: bool = False
    has_worked: bool = False
    has_prepared: bool = False
    has_strays: bool = False
    peak_memory_bytes: int | None = None

    @property
    def is_idle(self) -> bool:
        """Whether it can take a claim."""
        is_free = self.claim is None and self.kill_at is None
        return self.is_ready and is_free and not self.has_outgrown

    @property
    def busy_s(self) -> float:
        """How long the current claim has been worked on, seconds."""
        return time.monotonic() - self.started if self.claim else 0.0

    def give(self, claim: Claim) -> bool:
        """Hand a claim over; return False if the child turns out to be dead."""
        try:
            self.pipe.send(claim)
        except (BrokenPipeError, ConnectionResetError):
            return False
        self._begin(claim)
        return True

    def prepare(self) -> None:
        """Let an idle child load what it will need; once is enough."""
        if self.has_prepared:
            return
        self.has_prepared = True
        # A dead one is found by its sentinel.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(Prepare())

    def stop(self, reason: Stopped) -> None:
        """Ask the child to end; :meth:`insist` follows when it does not in time."""
        if self.stopped is None:
            self.stopped = reason
        if self.kill_at is None:
            self.kill_at = time.monotonic() + TERMINATE_GRACE_S
            ask_to_end(self.process)

    def insist(self) -> None:
        """Kill the child if it was asked to end and its grace is over."""
        if self.kill_at is not None and time.monotonic() >= self.kill_at:
            end(self.process)

    def receive(self) -> Ready | Report | None:
        """Return the next message; None when there is none (any more)."""
        try:
            message: Ready | Report | None = self.pipe.recv() if self.pipe.poll() else None
        except (EOFError, OSError):  # it died, perhaps in the middle of a message
            self.is_broken = True
            return None
        self.is_ready = self.is_ready or message is not None
        if isinstance(message, Succeeded) and message.next is not None:
            self._begin(message.next)
        elif message is not None:
            self.claim = None
        return message

    def bury(self) -> Died:
        """Remove what is left of a dead child and say how it died."""
        # Read while the system still keeps what it knows of the dead: until they are joined.
        total_s = cpu_seconds_of(self.process.pid)
        cpu_s = None if total_s is None else max(total_s - self.cpu_before_s.value, 0.0)
        # Its own way of ending is told by the exit code; a kill would cover it.
        self.process.join(EXIT_S)
        end(self.process)
        self.process.join(JOIN_S)
        self.pipe.close()
        words = take_last_words(self.last_words)
        return Died(self.process.exitcode, words, self.peak_memory_bytes, cpu_s)

    def _begin(self, claim: Claim) -> None:
        self.claim, self.started, self.peak_memory_bytes = claim, time.monotonic(), None
        self.has_worked = True
        # Whatever it is being stopped for, this process had no part in it.
        self.stopped = Stopped(Stop.NO_FAULT, "stopped with its child") if self.kill_at else None


def spawn(context: SpawnContext, place: Workplace, last_words: Path, takes_next: bool) -> Child:
    """Start a child process."""
    ours, theirs = context.Pipe()
    # One byte of shared memory, no lock: it is set in signal handlers.
    may_take_next = context.RawValue(c_bool, takes_next)
    cpu_before_s = context.RawValue(c_double, 0.0)
    process = context.Process(
        target=child_main,
        args=(theirs, place, last_words, may_take_next, cpu_before_s),
        name="tianyu-step",
        daemon=True,
    )
    with _no_main_module(), _one_thread_each():
        process.start()
    theirs.close()
    return Child(process, ours, may_take_next, cpu_before_s, last_words)


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Let a child start without importing the program that started the consumer.

    It needs nothing of it, would have to wait for it, and a script without the customary
    guard would run a second time in each child.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let the child's linear algebra use one thread, unless a person chose otherwise.

    There are as many children as cores already; threads of theirs would only wait for each
    other, and spend processor time on waiting.
    """
    unset = [name for name in THREAD_VARIABLES if name not in os.environ]
    os.environ.update(dict.fromkeys(unset, "1"))
    try:
        yield
    finally:
        for name in unset:
            del os.environ[name]


def _name_of(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
