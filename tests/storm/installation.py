"""A site on given servers, graphs for it, and programs that work there and can be killed."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from tests.sessions import signal_session

from tianyu.schema.crashpoints import VARIABLE
from tianyu.schema.database import Database
from tianyu.schema.directory import ensure_queue, ensure_site
from tianyu.schema.migrate import upgrade
from tianyu.schema.pid import PidFactory
from tianyu.schema.states import TERMINAL, State
from tianyu.schema.tables import Process
from tianyu.schema.transitions.publish import ProcessSpec, RunSpec, insert_graph, insert_run

SITE = "storm"
STEPS = "tests.storm.steps"
ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


@dataclass
class Site:
    """One site with its database and broker."""

    database_url: str
    broker_url: str
    folder: Path
    lease_s: float = 2.0
    programs: list["Program"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.database = Database(self.database_url)
        upgrade(self.database)
        self.root = self.folder / "root"
        with self.database.write() as connection:
            site_id = ensure_site(connection, SITE, self.root, self.lease_s)
            self.queue_id = ensure_queue(connection, site_id, "cpu")

    # -- graphs -----------------------------------------------------------------------------

    def publish(
        self, parents: Sequence[Sequence[int]], parameters: Mapping[int, Any] | None = None
    ) -> list[int]:
        """Publish a graph of marks; parents are given by their place in the list."""
        known = parameters or {}
        ids = PidFactory().draw(len(parents))
        specs = [
            ProcessSpec(
                pid, "mark", known.get(i, {}), self.queue_id, tuple(ids[p] for p in parents[i])
            )
            for i, pid in enumerate(ids)
        ]
        with self.database.write() as connection:
            run = RunSpec(f"run {ids[0]}", "storm", 1, {}, "1", specs)
            insert_graph(connection, insert_run(connection, run), specs)
        return ids

    def states(self) -> dict[State, int]:
        """Return how many processes are in which state."""
        query = select(Process.state, func.count()).group_by(Process.state)
        with self.database.read() as connection:
            return {State(state): n for state, n in connection.execute(query)}

    def is_done(self) -> bool:
        """Tell whether nothing can move any more."""
        return self.states().keys() <= TERMINAL

    def succeeded(self) -> int:
        """Return how many processes have succeeded."""
        return self.states().get(State.SUCCEEDED, 0)

    # -- programs -----------------------------------------------------------------------------

    def start(self, role: str, *, crash_at: str | None = None, **options: Any) -> "Program":
        """Start a manager, a consumer, or a node that is both."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("TIANYU_")}
        environment = inherited | {
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "TIANYU_STEP_MODULES": STEPS,
            "STORM_DATABASE": options.get("database_url", self.database_url),
            "STORM_MUTANT": os.environ.get("STORM_MUTANT", ""),
            "STORM_BROKER": options.get("broker_url", self.broker_url),
        }
        if crash_at is not None:
            environment[VARIABLE] = crash_at
        log = self.folder / f"{len(self.programs)}.{role}.log"
        with log.open("wb") as stream:
            popen = subprocess.Popen(
                [sys.executable, "-m", "tests.storm.node", role],
                env=environment,
                cwd=ROOT,
                # Whoever reads from it notices when we die.
                stdin=subprocess.PIPE,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        program = Program(role, popen, log)
        self.programs.append(program)
        return program

    def logs(self) -> str:
        """Return the ends of the logs of all programs."""
        return "\n".join(f"-- {p.log.name}\n{p.log.read_text()[-3000:]}" for p in self.programs)

    def close(self) -> None:
        """End everything."""
        for program in self.programs:
            program.kill()
            # Children that outlived their consumer.
            program._signal(signal.SIGKILL)
        self.database.dispose()


@dataclass(eq=False)
class Program:
    """One program in a session of its own."""

    role: str
    popen: "subprocess.Popen[bytes]"
    log: Path

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        return self.popen.poll() is None

    def wait(self) -> int:
        """Return its exit status once it has ended."""
        return self.popen.wait(PATIENCE_S)

    def freeze(self) -> None:
        """Stop the clock of it and of its children."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        # Children outlive a consumer that was killed alone, and frozen ones until they thaw.
        signal_session(self.popen.pid, number)

    def kill(self, *, with_children: bool = True) -> None:
        """Kill it with signal 9, with or without its children, and wait."""
        if self.is_running:
            if with_children:
                self._signal(signal.SIGKILL)
            else:
                self.popen.kill()
        self.popen.wait(PATIENCE_S)
        if self.popen.stdin is not None:
            self.popen.stdin.close()


def layered(n: int, width: int, chance: random.Random) -> list[list[int]]:
    """Return the parents of a random graph in layers: each process has 0 to 3 in the last one."""
    return list(_layered(n, width, chance))


def _layered(n: int, width: int, chance: random.Random) -> Iterator[list[int]]:
    last: list[int] = []
    current: list[int] = []
    for i in range(n):
        if len(current) >= chance.randint(width // 2, 2 * width):
            last, current = current, []
        # Most have parents; those without begin a story of their own, in whatever layer.
        wanted = min(len(last), chance.choice([0, 1, 1, 2, 2, 3]))
        yield sorted(chance.sample(last, wanted))
        current.append(i)
