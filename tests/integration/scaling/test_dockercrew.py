"""Containers of a real engine: cloned with their limits, and left to finish when drained."""

import contextlib
import os
import time
import uuid
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from docker.errors import DockerException, ImageNotFound
from tests.servers.choice import BROKER_IMAGE, BROKER_IMAGE_VARIABLE
from tests.servers.engine import connect_engine

from tianyu.manager.scaling.dockercrew import NUMBER, ONE_OFF, PROJECT, SERVICE, DockerCrew

IMAGE = os.environ.get(BROKER_IMAGE_VARIABLE) or BROKER_IMAGE
"""Any image with a shell would do; this one is there where the tests have an engine."""

BUSY_S = 2.0
WORKER = f"trap 'sleep {BUSY_S}; exit 0' TERM; while :; do sleep 0.1; done"
"""Finishes what it runs when it is asked to stop."""


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    client = connect_engine()
    if client is None:
        pytest.skip("no Docker engine answers")
    try:
        client.images.get(IMAGE)
    except ImageNotFound:
        client.close()
        pytest.skip(f"the image {IMAGE} is not there; pull it: docker pull {IMAGE}")
    yield client
    client.close()


@pytest.fixture
def project(engine: docker.DockerClient) -> Iterator[str]:
    """A project with one container, as compose makes it."""
    name = f"tianyu-test-{uuid.uuid4().hex[:8]}"
    engine.containers.run(
        IMAGE,
        entrypoint=["sh", "-c", WORKER],
        name=f"{name}-consumer-cpu-1",
        labels={PROJECT: name, SERVICE: "consumer-cpu", NUMBER: "1", ONE_OFF: "False"},
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        mem_limit="64m",
        restart_policy={"Name": "unless-stopped"},
        detach=True,
    )
    yield name
    for container in engine.containers.list(all=True, filters={"label": f"{PROJECT}={name}"}):
        with contextlib.suppress(DockerException):
            container.remove(force=True)


def limits(container: Any) -> list[Any]:
    host = container.attrs["HostConfig"]
    names = ("ReadonlyRootfs", "CapDrop", "Memory", "RestartPolicy", "NetworkMode")
    return [host[name] for name in names]


def test_containers_come_and_go_and_none_is_killed(
    engine: docker.DockerClient, project: str
) -> None:
    crew = DockerCrew("consumer-cpu", client=engine)
    second, third = crew.start(2)
    assert second == f"{project}-consumer-cpu-2"
    clones = [engine.containers.get(name) for name in (second, third)]
    pattern = engine.containers.get(f"{project}-consumer-cpu-1")
    assert [limits(clone) for clone in clones] == [limits(pattern)] * 2
    assert len({c.attrs["Config"]["Hostname"] for c in (pattern, *clones)}) == 3
    time.sleep(0.5)  # until the shells have set their traps
    begun = time.monotonic()
    crew.drain([third])
    assert [m.is_draining for m in crew.members()] == [False, False, True]
    draining = engine.containers.get(f"{third}-draining")
    ended = draining.wait(timeout=60)
    assert ended["StatusCode"] == 0, "it was killed"
    assert time.monotonic() - begun >= BUSY_S, "it did not finish what it ran"
    time.sleep(0.5)
    assert [m.name for m in crew.members()] == [f"{project}-consumer-cpu-1", second]
    assert not engine.containers.list(all=True, filters={"name": "draining"})
