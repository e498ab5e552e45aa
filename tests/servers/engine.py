"""The Docker engine of this machine, where there is one."""

import os
import socket

import docker
from docker.context import ContextAPI
from docker.errors import DockerException

LOCAL = ("unix://", "npipe://")
"""Of an engine elsewhere the loopback, on which servers of tests listen, is not ours."""

ANSWER_S = 60


def engine_host() -> str:
    """Return the address of the engine that the command ``docker`` would use."""
    return os.environ.get("DOCKER_HOST") or str(ContextAPI.get_current_context().Host)


def connect_engine() -> docker.DockerClient | None:
    """Connect to the engine of this machine; None if none answers."""
    try:
        host = engine_host()
        if not host.startswith(LOCAL) or not _is_open(host):
            return None
        return docker.DockerClient(base_url=host, timeout=ANSWER_S)
    except DockerException:
        return None


def _is_open(host: str) -> bool:
    """Tell whether a socket is there and ours to use: the library leaks its own if not."""
    if not host.startswith("unix://"):
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(host.removeprefix("unix://"))
        except OSError:
            return False
    return True
