"""Two sites in network namespaces of their own, and a narrow link between them that can be cut."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

CENTRE_ADDRESS = "10.77.0.1"
OBSERVATORY_ADDRESS = "10.77.0.2"


class NoNetworkError(RuntimeError):
    """This machine does not let us make networks."""


@dataclass(frozen=True)
class Traffic:
    """Bytes over the link, with all headers, as the interfaces count them."""

    from_observatory: int
    to_observatory: int

    def __sub__(self, other: "Traffic") -> "Traffic":
        return Traffic(
            self.from_observatory - other.from_observatory,
            self.to_observatory - other.to_observatory,
        )

    @property
    def total(self) -> int:
        """Both ways."""
        return self.from_observatory + self.to_observatory


@dataclass(frozen=True)
class Network:
    """Three namespaces: the two sites, and what lies between them."""

    centre: str
    observatory: str
    between: str

    def inside(self, namespace: str, command: Sequence[str]) -> list[str]:
        """Return a command that runs in a namespace."""
        return ["ip", "netns", "exec", namespace, *command]

    def traffic(self) -> Traffic:
        """Return what has gone over the observatory's link."""
        answer = _run("ip", "-n", self.between, "-s", "-j", "link", "show", "dev", "to-obs")
        counted = json.loads(answer)[0]["stats64"]
        return Traffic(counted["rx"]["bytes"], counted["tx"]["bytes"])

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Take the observatory's link down for a while."""
        _run("ip", "-n", self.between, "link", "set", "to-obs", "down")
        try:
            yield
        finally:
            _run("ip", "-n", self.between, "link", "set", "to-obs", "up")


@contextmanager
def two_sites(rate: str) -> Iterator[Network]:
    """Make the network, and take it away in the end.

    Parameters
    ----------
    rate : str
        Of the observatory's link in either direction, as ``tc`` takes it: ``1mbit``.

    Raises
    ------
    NoNetworkError
        If it cannot be made here; the text says why.
    """
    mark = f"ty{os.getpid()}"
    network = Network(f"{mark}-centre", f"{mark}-obs", f"{mark}-between")
    made: list[str] = []
    try:
        for name in (network.between, network.centre, network.observatory):
            _run("ip", "netns", "add", name)
            made.append(name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        _run("ip", "-n", network.between, "link", "add", "bridge", "type", "bridge")
        _run("ip", "-n", network.between, "link", "set", "bridge", "up")
        _join(network, network.centre, "to-centre", CENTRE_ADDRESS)
        _join(network, network.observatory, "to-obs", OBSERVATORY_ADDRESS)
        for namespace, device in ((network.between, "to-obs"), (network.observatory, "wan")):
            _narrow(namespace, device, rate)
        yield network
    finally:
        for name in made:
            _forget(name)


def _join(network: Network, namespace: str, port: str, address: str) -> None:
    """Lay a cable from a site to the bridge."""
    _run(
        "ip", "-n", network.between, "link", "add", port, "type", "veth",
        "peer", "name", "wan", "netns", namespace,
    )  # fmt: skip
    _run("ip", "-n", network.between, "link", "set", port, "master", "bridge", "up")
    _run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", "wan")
    _run("ip", "-n", namespace, "link", "set", "wan", "up")


def _narrow(namespace: str, device: str, rate: str) -> None:
    _run(
        "tc", "-n", namespace, "qdisc", "add", "dev", device, "root", "tbf",
        "rate", rate, "burst", "16kb", "latency", "400ms",
    )  # fmt: skip


def _forget(name: str) -> None:
    # Whatever still runs there would keep the namespace alive.
    pids = subprocess.run(
        ["ip", "netns", "pids", name], capture_output=True, text=True, check=False
    ).stdout.split()
    for pid in pids:
        subprocess.run(["kill", "-KILL", pid], check=False, stderr=subprocess.DEVNULL)
    time.sleep(0.1)
    subprocess.run(["ip", "netns", "delete", name], check=False)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise NoNetworkError(f"there is no {command[0]}; install iproute2") from error
    if done.returncode:
        raise NoNetworkError(f"`{' '.join(command)}` is refused: {done.stderr.strip()}")
    return done.stdout
