"""What each container of a site may do and what it opens, as Docker tells it."""

import subprocess
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table


def print_table(containers: list[dict[str, Any]]) -> None:
    """Print a row for each container, of what ``docker inspect`` says of it."""
    table = Table(
        "project", "service", "image", "size", "starts in", "user", "capabilities", "root", "ports"
    )
    for container in sorted(containers, key=lambda c: c["Name"]):
        table.add_row(*_row(container))
    Console(width=165).print(table)


def _row(container: dict[str, Any]) -> tuple[str, ...]:
    config, host = container["Config"], container["HostConfig"]
    kept = [name.removeprefix("CAP_") for name in host["CapAdd"] or []]
    dropped = "" if host["CapDrop"] == ["ALL"] else " + Docker's own"
    bound = [
        f"{address['HostIp']}:{address['HostPort']}"
        for addresses in container["NetworkSettings"]["Ports"].values()
        for address in addresses or []
    ]
    labels = config["Labels"]
    return (
        labels["com.docker.compose.project"].removeprefix("tianyu-acceptance-"),
        labels["com.docker.compose.service"],
        config["Image"],
        f"{_image_size(container['Image']) / 1e6:.0f} MB",
        _first_health(container),
        _user(container["Id"]),
        (", ".join(kept) or "none") + dropped,
        "read-only" if host["ReadonlyRootfs"] else "WRITABLE",
        ", ".join(bound) or "none",
    )


def _image_size(image: str) -> int:
    return int(_docker("image", "inspect", image, "--format", "{{.Size}}"))


def _user(container: str) -> str:
    """Return whom the program runs as, of all processes but the init that Docker adds."""
    lines = _docker("top", container, "-eo", "pid,uid,comm").splitlines()[1:]
    users = [line.split()[1] for line in lines if "docker-init" not in line and "tini" not in line]
    return ", ".join(sorted(set(users)))


def _first_health(container: dict[str, Any]) -> str:
    """Return the time from the start to the first look that found it well, seconds."""
    looks = container["State"].get("Health", {}).get("Log") or []
    begin = _time(container["State"]["StartedAt"])
    well = [_time(look["End"]) for look in looks if look["ExitCode"] == 0]
    # Docker keeps the last five looks only: of an older container the first is gone.
    return f"≤ {(min(well) - begin).total_seconds():.0f} s" if well else "?"


def _time(text: str) -> datetime:
    whole, _, rest = text.partition(".")
    digits = rest.rstrip("Z").partition("+")[0][:6] or "0"
    return datetime.fromisoformat(f"{whole}.{digits:0<6}")


def _docker(*arguments: str) -> str:
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()
