"""An installation of the program: a database, a broker, a site, and services as processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from tests.sessions import signal_session

from tianyu.schema.database import Database
from tianyu.schema.states import TERMINAL, State
from tianyu.schema.tables import Process, Worker

PROGRAM = Path(sys.executable).parent / "tianyu"
LEASE_S = 5.0
PATIENCE_S = 90.0
"""A loaded machine with two cores takes ten seconds only to import four interpreters' modules."""


@dataclass
class Service:
    """One service of the program in a process group of its own."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def stop(self) -> int:
        """Ask it to finish and leave; return its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def freeze(self) -> None:
        """Stop the clock of it and of its children."""
        signal_session(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        signal_session(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill it and its children with signal 9, as when the power of its machine fails."""
        signal_session(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)


@dataclass
class Installation:
    """The program, run only through its command line."""

    database_url: str
    broker_url: str
    folder: Path
    services: list[Service] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    """More of them, for what is started from now on."""
    patience_s: float = PATIENCE_S

    def __post_init__(self) -> None:
        self.database = Database(self.database_url)
        # As containers hand over secrets; the other URL goes through the environment.
        (self.folder / "database_url").write_text(self.database_url + "\n")

    @property
    def root(self) -> Path:
        """Root folder of the site."""
        return self.folder / "root"

    def environment(self) -> dict[str, str]:
        """Return the variables of every command."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("TIANYU_")}
        return inherited | {
            "TIANYU_DATABASE_URL_FILE": str(self.folder / "database_url"),
            "TIANYU_BROKER_URL": self.broker_url,
            "TIANYU_SITE": "here",
            "TIANYU_POLL_S": "0.2",
            "TIANYU_LEASE_S": str(LEASE_S),
            "OMP_NUM_THREADS": "1",
            **self.variables,
        }

    def run(self, *arguments: str) -> str:
        """Run a command to its end; return what it printed."""
        done = subprocess.run(
            [str(PROGRAM), *arguments],
            env=self.environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=self.patience_s,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, *arguments: str) -> Service:
        """Start a service."""
        log = self.folder / f"{len(self.services)}.{arguments[0]}.log"
        with log.open("wb") as stream:
            process = subprocess.Popen(
                [str(PROGRAM), *arguments],
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        service = Service(process, log)
        self.services.append(service)
        return service

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        """Look again and again.

        Raises
        ------
        AssertionError
            With the logs of the services, if it does not come true.
        """
        deadline = time.monotonic() + self.patience_s
        while not is_so():
            assert time.monotonic() < deadline, f"{what} never came\n{self.logs()}"
            time.sleep(0.02)

    def is_done(self) -> bool:
        """Tell whether nothing can move any more."""
        return self.states() <= TERMINAL | {State.BLOCKED}

    def states(self) -> set[State]:
        """Return the states that processes are in."""
        with self.database.read() as connection:
            return {State(state) for state in connection.scalars(select(Process.state).distinct())}

    def running_at(self, consumer: Service) -> str | None:
        """Return the command that a consumer is running, or None."""
        query = (
            select(Process.command)
            .join(Worker, Worker.id == Process.worker_id)
            .where(
                Process.state == State.RUNNING.value,
                Worker.os_pid == consumer.process.pid,
            )
        )
        with self.database.read() as connection:
            return connection.scalar(query)

    def logs(self) -> str:
        """Return the ends of the logs of all services."""
        return "\n".join(
            f"-- {service.log.name}\n{service.log.read_text()[-2000:]}" for service in self.services
        )

    def close(self) -> None:
        """End everything."""
        for service in self.services:
            if service.process.poll() is None:
                service.kill()
        self.database.dispose()
