"""Consumers as plain processes of this machine, for sites without containers."""

import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tianyu.manager.scaling.crew import Member
from tianyu.schema.errors import ConfigurationError


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

    Raises
    ------
    ConfigurationError
        Where a process cannot be asked to finish.
    """

    command: Sequence[str]
    launch: Callable[[Sequence[str]], "subprocess.Popen[bytes]"] = _launched
    _children: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    _draining: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if sys.platform == "win32":
            raise ConfigurationError(
                "Windows cannot ask a process to finish, only kill it; scale containers instead "
                "(--backend docker)"
            )

    def members(self) -> list[Member]:
        """Return those that live."""
        for name, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[name]
                self._draining.discard(name)
        return [Member(name, name in self._draining) for name in self._children]

    def start(self, number: int) -> list[str]:
        """Start more of them; return the numbers of their processes."""
        names = []
        for _ in range(number):
            child = self.launch(self.command)
            names.append(str(child.pid))
            self._children[names[-1]] = child
        return names

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
