"""Containers of tests that were killed do not stay; those of others are left alone."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import psutil
import pytest
from docker.errors import ImageNotFound, NotFound
from tests.servers.container import OWNER, _is_stray, _owner, remove_strays
from tests.servers.engine import connect_engine

ROOT = Path(__file__).resolve().parents[3]
IMAGE = "mysql:8.4"

MAKE_ONE = f"""
import time
from tests.servers.containers import DatabaseContainer
from tests.servers.engine import connect_engine
print(DatabaseContainer(connect_engine(), "{IMAGE}").container.id, flush=True)
time.sleep(60)
"""


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    """Return the engine with the image at hand; nothing is pulled for these tests."""
    found = connect_engine()
    if found is None:
        pytest.skip("no Docker engine answers")
    try:
        found.images.get(IMAGE)
        yield found
    except ImageNotFound:
        pytest.skip(f"the Docker engine has no image {IMAGE}")
    finally:
        found.close()


def exists(engine: docker.DockerClient, key: str) -> bool:
    try:
        engine.containers.get(key)
    except NotFound:
        return False
    return True


def a_dead_process() -> str:
    with subprocess.Popen(["sleep", "60"]) as process:
        born = psutil.Process(process.pid).create_time()
        process.kill()
    return f"{socket.gethostname()} {process.pid} {born:.2f}"


def test_the_container_of_tests_that_were_killed_is_removed(engine: docker.DockerClient) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", MAKE_ONE], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as tests:
        assert tests.stdout is not None
        key = tests.stdout.readline().strip()
        assert exists(engine, key)
        os.kill(tests.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while exists(engine, key):
        assert time.monotonic() < deadline, "the container stays"
        time.sleep(0.1)


def test_strays_are_removed_and_containers_of_the_living_are_not(
    engine: docker.DockerClient,
) -> None:
    def make(owner: str) -> Any:
        return engine.containers.create(IMAGE, labels={OWNER: owner})

    stray, ours = make(a_dead_process()), make(_owner())
    try:
        assert remove_strays(engine) >= 1
        assert not exists(engine, stray.id)
        assert exists(engine, ours.id)
    finally:
        ours.remove(v=True)


def test_who_is_gone() -> None:
    host, pid, born = _owner().split(" ")
    assert _is_stray(a_dead_process())
    assert not _is_stray(_owner())
    # The number of a process that has ended was given to another.
    assert _is_stray(f"{host} {pid} {float(born) - 100}")
    # Whether a process of another machine lives cannot be seen from here.
    assert not _is_stray(f"{host}-elsewhere {pid} {float(born) - 100}")
