"""What tests may do to a server of their own, be it a process or a container."""

import time
from abc import ABC, abstractmethod

START_PATIENCE_S = 90.0
"""RabbitMQ takes 6 s on a quiet machine and 20 s on one that runs other tests."""

STOP_PATIENCE_S = 30.0


class ServerFailedError(RuntimeError):
    """A server did not start; the text ends with the last lines it wrote."""


class Server(ABC):
    """One server with its data and ports, which stay the same over restarts.

    Call :meth:`remove` in the end.
    """

    name: str

    @property
    @abstractmethod
    def url(self) -> str:
        """How clients of ours reach the server."""

    @abstractmethod
    def answers(self) -> bool:
        """Tell whether clients can work with it."""

    @property
    @abstractmethod
    def is_running(self) -> bool:
        """Whether it has been started and has not ended; a paused one counts."""

    @abstractmethod
    def launch(self) -> None:
        """Let one that does not run begin to run."""

    @abstractmethod
    def stop(self) -> None:
        """Ask it to stop in an orderly way, and wait."""

    @abstractmethod
    def kill(self) -> None:
        """Kill it and its helpers with signal 9: nothing is flushed, nobody is told."""

    @abstractmethod
    def pause(self) -> None:
        """Freeze it: connections stay open and nothing is answered."""

    @abstractmethod
    def resume(self) -> None:
        """Let a frozen one go on; one that is not frozen is left alone."""

    @abstractmethod
    def remove(self) -> None:
        """End it and delete its data."""

    @abstractmethod
    def last_output(self) -> str:
        """Return the end of what it wrote."""

    def start(self) -> None:
        """Start it, or do nothing when it runs, and wait until it answers."""
        if not self.is_running:
            self.launch()
        self.wait_until_it_answers()

    def restart(self) -> None:
        """Stop it in an orderly way and start it again."""
        self.stop()
        self.start()

    def make_healthy(self) -> None:
        """Undo whatever a test did to it: afterwards it runs and answers."""
        self.resume()
        if not self.is_running:
            self.start()

    def wait_until_it_answers(self) -> None:
        """Return once clients can work with it.

        Raises
        ------
        ServerFailedError
            If it ends, or does not answer in time.
        """
        deadline = time.monotonic() + START_PATIENCE_S
        while not self.answers():
            if not self.is_running or time.monotonic() > deadline:
                self.kill()
                raise ServerFailedError(f"{self.name} did not start:\n{self.last_output()}")
            time.sleep(0.05)
