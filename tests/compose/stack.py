"""What ``docker compose`` runs, under a project name, ports and secrets of its own."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.servers.ports import free_ports

ROOT = Path(__file__).parents[2]
IMAGES = ("python:3.12-slim", "mysql:8.4", "rabbitmq:4-management")


class StackError(Exception):
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
        if not (
            _succeeds("docker", "image", "inspect", image) or _succeeds("docker", "pull", image)
        ):
            return f"no image {image}, and no registry has it; see deploy/images/stand-in"
    return ""


def _free_port() -> int:
    return free_ports(1)[0]


def _succeeds(*command: str) -> bool:
    done = subprocess.run(command, capture_output=True, timeout=600, check=False)
    return done.returncode == 0


@dataclass
class Stack:
    """One site with its servers.

    Attributes
    ----------
    frames : Path
        Folder of raw frames that containers see as /frames.
    secrets : Path
        Folder that ``deploy/make-secrets.sh`` fills.
    """

    frames: Path
    secrets: Path
    mysql_port: int = field(default_factory=_free_port)
    rabbitmq_port: int = field(default_factory=_free_port)
    management_port: int = field(default_factory=_free_port)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of every command."""
        return {
            **os.environ,
            "COMPOSE_PROJECT_NAME": "tianyu-acceptance",
            "TIANYU_SECRETS": str(self.secrets),
            "TIANYU_FRAMES": str(self.frames),
            "MYSQL_PORT": str(self.mysql_port),
            "RABBITMQ_PORT": str(self.rabbitmq_port),
            "RABBITMQ_MANAGEMENT_PORT": str(self.management_port),
        }

    def make_secrets(self) -> None:
        """Make passwords."""
        self._run("sh", "deploy/make-secrets.sh", str(self.secrets))

    def compose(self, *arguments: str, timeout_s: float = 900) -> str:
        """Run ``docker compose``; return what it prints."""
        return self._run("docker", "compose", *arguments, timeout_s=timeout_s)

    def script(self, *arguments: str) -> str:
        """Run a script of ``deploy/``."""
        return self._run("sh", *arguments)

    def tianyu(self, *arguments: str) -> str:
        """Run a command in a container of its own, as operators do from the host."""
        return self.compose("run", "--rm", "--no-deps", "-T", "tianyu", *arguments)

    def database_url(self, role: str) -> str:
        """Return where the database answers on this machine."""
        url = (self.secrets / f"{role}_database_url").read_text()
        return url.replace("@mysql/", f"@127.0.0.1:{self.mysql_port}/")

    def sql(self, statement: str) -> str:
        """Ask by the client in MySQL's container."""
        export = "MYSQL_PWD=$(cat /run/secrets/mysql_password)"
        shell = f'{export} mysql --user=tianyu --table tianyu --execute "{statement}"'
        return self.compose("exec", "-T", "mysql", "sh", "-c", shell)

    def containers(self) -> list[dict[str, Any]]:
        """Return what ``docker inspect`` says of each container that runs."""
        names = self.compose("ps", "--quiet").split()
        return list(json.loads(self._run("docker", "inspect", *names))) if names else []

    def remove(self) -> None:
        """Remove containers and volumes."""
        self.compose("--profile", "tools", "down", "--volumes", "--timeout", "5")

    def _run(self, *command: str, timeout_s: float = 900) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode:
            raise StackError(f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
        return done.stdout
