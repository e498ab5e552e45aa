"""Consumers as plain processes of this machine, for sites without containers."""

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tianyu.manager.logs import fields
from tianyu.manager.scaling.crew import Member
from tianyu.schema.errors import ConfigurationError

logger = logging.getLogger(__name__)

YOUNG_S = 10.0
"""A consumer that ends within this time cannot work at all: wrong settings, no site."""
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 60.0


def _launched(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    # Ctrl-C is for us; a consumer that got it as well would take our SIGTERM for a second one.
    return subprocess.Popen(list(command), stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - our own program


@dataclass
class ProcessCrew:
    """Consumers that are our own children.

    Parameters
    ----------
    command : sequence of str
        Starts one consumer.
    launch : callable
        How to start it; another one in tests.
    clock : callable

    Raises
    ------
    ConfigurationError
        Where a process cannot be asked to finish.
    """

    command: Sequence[str]
    launch: Callable[[Sequence[str]], "subprocess.Popen[bytes]"] = _launched
    clock: Callable[[], float] = time.monotonic
    _children: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _begun: dict[str, float] = field(default_factory=dict)
    _draining: set[str] = field(default_factory=set)
    _pause_s: float = FIRST_PAUSE_S
    _paused_until: float = float("-inf")

    def __post_init__(self) -> None:
        if sys.platform == "win32":
            raise ConfigurationError(
                "Windows cannot ask a process to finish, only kill it; scale containers instead "
                "(--backend docker)"
            )

    def members(self) -> list[Member]:
        """Return those that live."""
        for name, child in list(self._children.items()):
            code = child.poll()
            if code is not None:
                del self._children[name]
                age_s = self.clock() - self._begun.pop(name)
                if name not in self._draining:
                    self._mourn(name, code, age_s)
                self._draining.discard(name)
        return [Member(name, name in self._draining) for name in self._children]

    def start(self, number: int) -> list[str]:
        """Start more of them, or none while they die young; return the numbers of the processes."""
        names: list[str] = []
        if self.clock() < self._paused_until:
            return names
        for _ in range(number):
            child = self.launch(self.command)
            names.append(str(child.pid))
            self._children[names[-1]] = child
            self._begun[names[-1]] = self.clock()
        return names

    def _mourn(self, name: str, code: int, age_s: float) -> None:
        """Say that a consumer has ended unasked; start no more for a while if it died young."""
        is_young = age_s < YOUNG_S
        if is_young:
            self._paused_until = self.clock() + self._pause_s
        logger.warning(
            "consumer %s ended by itself after %.0f s with code %d%s",
            name, age_s, code, f"; the next in {self._pause_s:g} s" if is_young else "",
            extra=fields("scale"),
        )  # fmt: skip
        self._pause_s = min(2.0 * self._pause_s, LONGEST_PAUSE_S) if is_young else FIRST_PAUSE_S

    def drain(self, names: list[str]) -> None:
        """Ask consumers to finish what they run and leave."""
        for name in names:
            # Twice would mean: at once.
            if name in self._children and name not in self._draining:
                self._draining.add(name)
                self._children[name].send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Drain all and wait for them: nobody would look after them any more."""
        self.drain([member.name for member in self.members()])
        for child in self._children.values():
            child.wait()
