"""Killing programs and servers at random, and starting them again."""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from tests.storm.installation import Program, Site


class Server(Protocol):
    """What can be killed and started again."""

    name: str

    def kill(self) -> None:
        """Kill it with signal 9."""

    def start(self) -> None:
        """Start it and wait until it answers."""


@dataclass
class Weather:
    """A storm over one site.

    Attributes
    ----------
    roles : list of str
        One per program that should run: ``manager``, ``consumer``.
    servers : list of Server
        Killed one after the other.
    program_s, server_s, freeze_s : float
        Mean time between two kills of programs, of servers, and two freezes, seconds. What
        is frozen wakes up after its leases have run out, and goes on as if nothing were.
    """

    site: Site
    roles: list[str]
    servers: list[Server]
    chance: random.Random
    program_s: float = 3.0
    server_s: float = 60.0
    freeze_s: float = 7.0
    kills: Counter[str] = field(default_factory=Counter)
    freezes: int = 0
    restarts: int = 0
    _frozen: dict[Program, float] = field(default_factory=dict)
    _succeeded: int | None = None
    _crew: list[Program] = field(default_factory=list)
    _returning: list[threading.Thread] = field(default_factory=list)

    def set_sail(self) -> None:
        """Start every program."""
        self._crew = [self.site.start(role) for role in self.roles]
        now = time.monotonic()
        self._next_program = now + self._pause(self.program_s)
        self._next_server = now + self._pause(self.server_s)
        self._next_freeze = now + self._pause(self.freeze_s)

    def blow(self, succeeded: int | None) -> None:
        """Do what is due: kill, and start again what has died.

        Parameters
        ----------
        succeeded : int or None
            Processes that have succeeded; None while the database is dead. Nobody is killed
            until something was done since the last time: on a slow machine programs would die
            before they can do anything, for ever.
        """
        now = time.monotonic()
        if now >= self._next_program and succeeded not in {None, self._succeeded}:
            self._kill_a_program()
            self._succeeded = succeeded
            self._next_program = now + self._pause(self.program_s)
        if self.servers and now >= self._next_server:
            self._kill_a_server()
            self._next_server = now + self._pause(self.server_s)
        if now >= self._next_freeze:
            self._freeze_a_program(now)
            self._next_freeze = now + self._pause(self.freeze_s)
        for program in [p for p, until in self._frozen.items() if now >= until]:
            program.thaw()
            del self._frozen[program]
        for i, program in enumerate(self._crew):
            if not program.is_running:
                self._crew[i] = self.site.start(program.role)
                self.restarts += 1

    def calm(self) -> None:
        """Wait until every server is back."""
        for thread in self._returning:
            thread.join()
        self._returning.clear()

    def _pause(self, mean_s: float) -> float:
        return mean_s * self.chance.uniform(0.5, 1.5)

    def _kill_a_program(self) -> None:
        program = self.chance.choice(self._crew)
        # With its children as by the power, or alone as by the kernel for want of memory.
        program.kill(with_children=self.chance.random() < 0.5)
        self.kills[program.role] += 1

    def _freeze_a_program(self, now: float) -> None:
        program = self.chance.choice([p for p in self._crew if p.role == "consumer"])
        if program.is_running and program not in self._frozen:
            program.freeze()
            self.freezes += 1
            # The manager waits for one more lease before it judges.
            self._frozen[program] = now + self.site.lease_s * self.chance.uniform(1.0, 3.0)

    def _kill_a_server(self) -> None:
        self.calm()
        server = self.servers[sum(self.kills[s.name] for s in self.servers) % len(self.servers)]
        server.kill()
        self.kills[server.name] += 1
        pause_s = self.chance.uniform(0.0, 3.0)

        def come_back() -> None:
            time.sleep(pause_s)
            server.start()

        # Programs go on to die meanwhile.
        thread = threading.Thread(target=come_back)
        thread.start()
        self._returning.append(thread)
