"""Consumers as containers of a compose service, cloned from one that compose has made."""

import logging
from collections.abc import Iterator, Mapping
from typing import Any

from tianyu.manager.logs import fields
from tianyu.manager.scaling.crew import Member
from tianyu.schema.errors import ConfigurationError

logger = logging.getLogger(__name__)

PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
NUMBER, ONE_OFF = "com.docker.compose.container-number", "com.docker.compose.oneoff"
DRAINING = "-draining"
"""Ends the name of a container that was asked to finish; labels cannot be changed."""

OWN = ("Hostname", "Domainname")
"""What Docker chose for the container itself, and must choose anew for a clone."""


class DockerCrew:
    """Containers of one service of one compose project.

    Parameters
    ----------
    service : str
        Name of the service in the compose file.
    project : str or None
        Of compose; None: the only one that has this service.
    client : docker.DockerClient, optional
        By default as the environment says (``DOCKER_HOST``).

    Raises
    ------
    ConfigurationError
        If Docker does not answer, or there is no container to be cloned.
    """

    def __init__(self, service: str, project: str | None = None, client: Any = None) -> None:
        self._client = _client() if client is None else client
        self._service = service
        self._project = project or self._only_project()
        if not self._containers():
            raise self._nothing_to_clone()

    def members(self) -> list[Member]:
        """Return those that live; what has drained is removed."""
        found = []
        for container in self._containers():
            is_draining = container.name.endswith(DRAINING)
            if container.status in {"exited", "dead"}:
                if is_draining:
                    logger.info("%s has finished", container.name, extra=fields("scale"))
                    container.remove()
                continue
            found.append(Member(container.name, is_draining))
        return found

    def start(self, number: int) -> list[str]:
        """Clone containers and start them; return their names."""
        containers = self._containers()
        if not containers:
            raise self._nothing_to_clone()
        settled = [c for c in containers if not c.name.endswith(DRAINING)] or containers
        pattern = self._client.api.inspect_container(settled[0].id)
        taken = {int(container.labels.get(NUMBER, 0)) for container in containers}
        names: list[str] = []
        for place in _free_numbers(taken):
            if len(names) == number:
                break
            names.append(self._clone(pattern, place))
        return names

    def drain(self, names: list[str]) -> None:
        """Ask consumers to finish what they run and leave, with no limit of time."""
        for container in self._containers():
            if container.name not in names:
                continue
            # Docker must not start again what has left on request, nor kill what is still at work:
            # so no `stop`, which kills after its grace period.
            container.update(restart_policy={"Name": "no"})
            container.rename(f"{container.name}{DRAINING}")
            container.kill(signal="SIGTERM")

    def close(self) -> None:
        """Let the containers be: whoever scales next finds them as they are."""
        self._client.close()

    def _containers(self) -> list[Any]:
        labels = [f"{SERVICE}={self._service}", f"{PROJECT}={self._project}", f"{ONE_OFF}=False"]
        found = self._client.containers.list(all=True, filters={"label": labels})
        return sorted(found, key=lambda container: container.attrs["Created"])

    def _only_project(self) -> str:
        found = self._client.containers.list(
            all=True, filters={"label": [f"{SERVICE}={self._service}", f"{ONE_OFF}=False"]}
        )
        projects = sorted({container.labels[PROJECT] for container in found})
        if len(projects) != 1:
            raise ConfigurationError(
                f"{len(projects)} compose projects have a service {self._service!r}"
                + (f" ({', '.join(projects)}); give --project" if projects else "")
                + ("" if projects else "; start it: docker compose up --detach")
            )
        return str(projects[0])

    def _clone(self, pattern: Mapping[str, Any], place: int) -> str:
        name = f"{self._project}-{self._service}-{place}"
        config = clone_config(pattern, place)
        made = self._client.api.create_container_from_config(config, name)
        self._client.api.start(made["Id"])
        return name

    def _nothing_to_clone(self) -> ConfigurationError:
        return ConfigurationError(
            f"project {self._project!r} has no container of service {self._service!r} to be "
            "cloned; start one: docker compose up --detach"
        )


def clone_config(pattern: Mapping[str, Any], place: int) -> dict[str, Any]:
    """Return the configuration of a further container of a service.

    Parameters
    ----------
    pattern : mapping
        Of a container of the service, as ``docker inspect`` tells it.
    place : int
        Its number among the containers of the service.

    Examples
    --------
    >>> pattern = {"Config": {"Hostname": "1f", "Image": "tianyu", "Labels": {}},
    ...            "HostConfig": {"ReadonlyRootfs": True},
    ...            "NetworkSettings": {"Networks": {"front": {"IPAddress": "10.0.0.2"}}}}
    >>> clone = clone_config(pattern, 3)
    >>> clone["Labels"], clone["Image"], "Hostname" in clone
    ({'com.docker.compose.container-number': '3'}, 'tianyu', False)
    >>> clone["HostConfig"], clone["NetworkingConfig"]
    ({'ReadonlyRootfs': True}, {'EndpointsConfig': {'front': {}}})
    """
    config = {key: value for key, value in pattern["Config"].items() if key not in OWN}
    config["Labels"] = {**(config.get("Labels") or {}), NUMBER: str(place)}
    host = dict(pattern["HostConfig"])
    if "RestartPolicy" in host and (host["RestartPolicy"] or {}).get("Name") in {"", "no"}:
        # The pattern may be one that is being drained.
        host["RestartPolicy"] = {"Name": "unless-stopped", "MaximumRetryCount": 0}
    networks = pattern["NetworkSettings"]["Networks"]
    return {
        **config,
        "HostConfig": host,
        # Addresses and names are the pattern's own; the clone gets others.
        "NetworkingConfig": {
            "EndpointsConfig": {
                name: _endpoint(found, pattern.get("Name", "")) for name, found in networks.items()
            }
        },
    }


def _endpoint(found: Mapping[str, Any] | None, own_name: str) -> dict[str, Any]:
    """Return how a clone joins a network: by the names of the service, not of one container."""
    names = (found or {}).get("Aliases") or ()
    shared = [name for name in names if name != own_name.removeprefix("/") and not _is_id(name)]
    return {"Aliases": shared} if shared else {}


def _is_id(name: str) -> bool:
    return len(name) == 12 and all(character in "0123456789abcdef" for character in name)


def _free_numbers(taken: set[int]) -> Iterator[int]:
    place = 1
    while True:
        if place not in taken:
            yield place
        place += 1


def _client() -> Any:
    try:
        import docker  # noqa: PLC0415 - an extra, asked for by those who scale containers
    except ImportError as error:
        raise ConfigurationError(
            "scaling containers needs the package docker: pip install 'tianyu[scale]', or scale "
            "plain processes: --backend processes"
        ) from error
    try:
        client = docker.from_env()
        client.ping()
    except docker.errors.DockerException as error:
        raise ConfigurationError(
            f"Docker does not answer: {error}; is it running, and may you use it? DOCKER_HOST "
            "names another"
        ) from error
    return client
