"""A project of ``docker compose``: its commands and its containers."""

import json
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
IMAGES = ("python:3.12-slim", "mysql:8.4", "rabbitmq:4-management")


class ComposeError(Exception):
    """A command of compose failed."""


def missing() -> str:
    """Say what this machine lacks for compose; empty where nothing is missing."""
    if shutil.which("docker") is None:
        return "there is no docker command; install Docker, or run `make test`, which needs none"
    if not _succeeds("docker", "info"):
        host = os.environ.get("DOCKER_HOST", "its usual socket")
        return f"no Docker engine answers at {host}; start one, or set DOCKER_HOST"
    if not _succeeds("docker", "compose", "version"):
        return "docker has no compose plug-in of version 2"
    for image in IMAGES:
        if not has_image(image):
            return f"no image {image}, and no registry has it; see deploy/images/stand-in"
    return ""


def has_image(image: str) -> bool:
    """Return whether the engine has an image, or a registry gives it."""
    return _succeeds("docker", "image", "inspect", image) or _succeeds("docker", "pull", image)


def _succeeds(*command: str) -> bool:
    done = subprocess.run(command, capture_output=True, timeout=600, check=False)
    return done.returncode == 0


class Project(ABC):
    """What one set of compose files runs, under a name of its own."""

    @property
    @abstractmethod
    def variables(self) -> dict[str, str]:
        """What stands in ``.env`` where operators do this."""

    def compose(self, *arguments: str, timeout_s: float = 900) -> str:
        """Run ``docker compose``; return what it prints."""
        return self.run("docker", "compose", *arguments, timeout_s=timeout_s)

    def script(self, *arguments: str) -> str:
        """Run a script of ``deploy/``."""
        return self.run("sh", *arguments)

    def tianyu(self, *arguments: str) -> str:
        """Run a command in a container of its own, as operators do from the host."""
        return self.compose("run", "--rm", "--no-deps", "-T", "tianyu", *arguments)

    def containers(self) -> list[dict[str, Any]]:
        """Return what ``docker inspect`` says of each container that runs."""
        names = self.compose("ps", "--quiet").split()
        return list(json.loads(self.run("docker", "inspect", *names))) if names else []

    def remove(self) -> None:
        """Remove containers and volumes."""
        self.compose("--profile", "*", "down", "--volumes", "--timeout", "5")

    def run(self, *command: str, timeout_s: float = 900) -> str:
        """Run a command with the project's variables; return what it prints.

        Raises
        ------
        ComposeError
            If it fails.
        """
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | self.variables,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise ComposeError(f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        return done.stdout
