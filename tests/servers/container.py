"""A server in a container of its own, which tests may stop, kill, pause and start again."""

import io
import os
import socket
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import docker
import psutil
from docker.errors import APIError, ImageNotFound
from docker.models.containers import Container
from tests.servers.engine import engine_host
from tests.servers.server import STOP_PATIENCE_S, Server, ServerFailedError

OWNER = "org.tianyu.tests.owner"
"""Label of our containers: which process of which machine they belong to."""

GUARD = """\
import sys, docker
if not sys.stdin.readline():
    engine = docker.DockerClient(base_url=sys.argv[1])
    engine.containers.get(sys.argv[2]).remove(force=True, v=True)
"""
"""Ends a container when the tests die without doing so: the pipe closes with our end of it."""


def ensure_image(engine: docker.DockerClient, image: str) -> None:
    """Pull an image unless it is there.

    Raises
    ------
    docker.errors.APIError
        If it is not to be had.
    """
    try:
        engine.images.get(image)
    except ImageNotFound:
        engine.images.pull(image)


def remove_strays(engine: docker.DockerClient) -> int:
    """Remove the containers of tests that are no more; return how many.

    Each has a guard that does it at once, but a machine may lose its power.
    """
    found = engine.containers.list(all=True, filters={"label": OWNER}, ignore_removed=True)
    strays = [container for container in found if _is_stray(container.labels[OWNER])]
    for stray in strays:
        try:
            stray.remove(force=True, v=True)
        except APIError as error:
            # Somebody else is removing it.
            if error.status_code not in {404, 409}:
                raise
    return len(strays)


class ServerContainer(Server):
    """A server in a container; its ports are published on the loopback only.

    Parameters
    ----------
    engine : docker.DockerClient
    image : str
    command : sequence of str
        Arguments for the entry point of the image.
    environment : mapping
    ports : mapping
        Port of the container to port of this machine.
    """

    def __init__(
        self,
        engine: docker.DockerClient,
        image: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        ports: Mapping[int, int],
    ) -> None:
        super().__init__()
        published = {f"{inside}/tcp": ("127.0.0.1", port) for inside, port in ports.items()}
        self.container: Container = engine.containers.create(
            image,
            list(command),
            environment=dict(environment),
            labels={OWNER: _owner()},
            ports=published,
        )
        self._guard = _guard(self.container)

    # -- life -------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether it has been started and has not ended; a paused one counts."""
        return self._status() in {"running", "paused"}

    def launch(self) -> None:
        """Start the container."""
        self.container.start()

    def stop(self) -> None:
        """Ask it to stop in an orderly way, and wait."""
        self.resume()
        self.container.stop(timeout=int(STOP_PATIENCE_S))

    def kill(self) -> None:
        """Kill all that runs in it with signal 9; a frozen one, too."""
        if self.is_running:
            self.container.kill()
            self.container.wait(timeout=STOP_PATIENCE_S)

    def pause(self) -> None:
        """Freeze it: connections stay open and nothing is answered."""
        self.container.pause()

    def resume(self) -> None:
        """Let a frozen one go on; one that is not frozen is left alone."""
        if self._status() == "paused":
            self.container.unpause()

    def remove(self) -> None:
        """End it and delete its data."""
        self.container.remove(force=True, v=True)
        self._guard.communicate(b"removed\n")

    # -- helpers of the servers -------------------------------------------------------------

    def last_output(self) -> str:
        """Return the end of what it wrote."""
        written: bytes = self.container.logs(tail=40)
        return written.decode(errors="replace")[-3000:]

    def run(self, command: Sequence[str]) -> str:
        """Run a program in the container to its end; return what it printed."""
        code, output = self.container.exec_run(list(command))
        text: str = output.decode(errors="replace")
        if code != 0:
            raise ServerFailedError(f"{command[0]} ended with {code}:\n{text[-2000:]}")
        return text

    def put(self, path: str, content: bytes) -> None:
        """Write a file, which everybody in the container may read.

        No folder of this machine is mounted: some engines cannot.
        """
        place = PurePosixPath(path)
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            entry = tarfile.TarInfo(str(place.relative_to("/")))
            entry.size = len(content)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(content))
        self.container.put_archive("/", packed.getvalue())

    def _status(self) -> str:
        self.container.reload()
        return str(self.container.status)


def _owner() -> str:
    # A process id is given again; together with the moment of its birth it is not.
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time():.2f}"


def _is_stray(owner: str) -> bool:
    """Tell whether the process that a label names is no more; not ours to say elsewhere."""
    host, pid, born = owner.rsplit(" ", 2)
    if host != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(int(pid)).create_time() - float(born)) > 1.0
    except psutil.NoSuchProcess:
        return True


def _guard(container: Container) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-c", GUARD, engine_host(), str(container.id)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
