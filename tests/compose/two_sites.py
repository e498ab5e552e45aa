"""An observatory and a data centre that share a night, each a project of ``docker compose``.

The centre opens its servers with TLS at an address of this machine. The observatory has the folder
of secrets that was made for it there, a root of its own, consumers of the groups cpu and camera,
and the file service. A night is registered at the observatory, its light curves come out of the
centre. Prometheus finds every consumer meanwhile.
"""

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.compose.doors import check_doors
from tests.compose.night import CHUNK, HATP32, is_embedded_equal, timed, wait
from tests.compose.node import Node
from tests.compose.project import has_image
from tests.compose.report import print_table
from tests.compose.stack import Stack

OWNER = 10001
"""The account of the image."""

STRIDE = 12
"""One frame of so many is enough here: what is shown is how sites work together."""

NEEDED = "HATP-32171220041512.FITS.fz"
"""In which the target's pixel is given."""

PROMETHEUS = os.environ.get("PROMETHEUS_IMAGE", "prom/prometheus:v3.5.3")

TRANSFERS = (
    "SELECT site.name AS to_site, COUNT(*) AS files, SUM(size_bytes) AS bytes FROM image_copy "
    "JOIN site ON site.id = image_copy.site_id WHERE path LIKE 'received/%' GROUP BY site.name"
)
WORKERS = (
    "SELECT site.name AS site, hardware_group.name AS for_group, command, COUNT(*) AS succeeded "
    "FROM process JOIN queue ON queue.id = process.queue_id JOIN site ON site.id = queue.site_id "
    "JOIN hardware_group ON hardware_group.id = queue.group_id WHERE state = 'succeeded' "
    "GROUP BY site.name, hardware_group.name, command ORDER BY MIN(process.id)"
)


def run(frames: Path, folder: Path, *, keep: bool) -> bool:
    """Run the story; return whether the light curves are those of the embedded reduction."""
    address = _bridge_address()
    night = _some_frames(frames, folder / "night")
    centre = Stack(night, folder / "centre-secrets", "tianyu-acceptance-centre", address)
    observatory = Node(
        "observatory", _root(folder / "root"), night, folder / "observatory-secrets", address
    )
    try:
        return _story(centre, observatory, folder)
    finally:
        if not keep:
            observatory.remove()
            centre.remove()


def _story(centre: Stack, observatory: Node, folder: Path) -> bool:
    _make_secrets(centre, observatory)
    observatory.remove()
    centre.remove()
    with timed("docker compose build"):
        centre.compose("build", "manager", timeout_s=1800)
    with timed("centre: docker compose --profile bigmem up, with TLS alone"):
        profiles = ("--profile", "bigmem")
        centre.compose(*profiles, "up", "--detach", "--wait", "--wait-timeout", "300")
    # As they are now: Docker soon forgets when they were well for the first time.
    seen = centre.containers()
    with timed("centre: tianyu init --site observatory, tianyu site add --address"):
        groups = ("--group", "cpu", "--group", "camera")
        centre.tianyu("init", "--site", "observatory", "--root", "/data", *groups)
        centre.tianyu("site", "add", "observatory", "--address", observatory.files_url)
    with timed("observatory: docker compose --profile camera --profile files up"):
        profiles = ("--profile", "camera", "--profile", "files")
        observatory.compose(*profiles, "up", "--detach", "--wait", "--wait-timeout", "300")
    seen += observatory.containers()
    check_doors(centre, observatory)
    _watch_metrics(centre)
    seen += [one for one in centre.containers() if _service(one) == "prometheus"]
    print_table(seen)
    print(centre.tianyu("site", "list"))
    with timed("a night shared by both sites"):
        sites = ("--placement", "copy", "--science-site", "centre")
        observatory.tianyu("register", "/frames", *sites, "--chunk", CHUNK, *HATP32)
        wait(centre, lambda progress: progress.is_over)
    assert "centre" in centre.sql(TRANSFERS), "nothing was brought from the observatory"
    with timed("an exposure by the camera of the observatory"):
        observatory.tianyu("capture", "--exposure", "0.1", "--frames", "2")
        _until(lambda: len(list(observatory.root.glob("incoming/*"))) >= 2, "no exposure came")
        wait(centre, lambda progress: progress.is_over)
    print(centre.sql(TRANSFERS), centre.sql(WORKERS), sep="\n")
    return is_embedded_equal(centre, observatory.frames, folder / "embedded")


def _make_secrets(centre: Stack, observatory: Node) -> None:
    """Make those of the centre and, there, the folder of the observatory; carry that over."""
    centre.make_secrets()
    centre.script("deploy/make-certificates.sh", "servers", centre.address)
    addresses = centre.address, observatory.address
    centre.script("deploy/make-node-secrets.sh", observatory.site, *addresses)
    shutil.copytree(centre.secrets / "nodes" / observatory.site, observatory.secrets)


def _watch_metrics(centre: Stack) -> None:
    """Show that Prometheus finds the manager and each consumer, and knows the alarms."""
    if not has_image(PROMETHEUS):
        print(f"          no metrics: no image {PROMETHEUS}; see deploy/images/stand-in")
        return
    with timed("centre: two consumers, Prometheus"):
        scale = ("--scale", "consumer-cpu=2", "consumer-cpu")
        centre.compose("up", "--detach", "--no-recreate", "--wait", *scale)
        # Without Grafana, which has no stand-in.
        metrics = ("--profile", "metrics", "up", "--detach", "--wait", "prometheus")
        centre.compose(*metrics)
        wanted = {
            "tianyu-manager": 1, "tianyu-consumer": 3, "rabbitmq": 1, "prometheus": 1,
        }  # fmt: skip
        _until(lambda: _targets(centre) == wanted, f"not these targets: {wanted}")
    check = ("promtool", "check", "config", "/etc/prometheus/prometheus.yml")
    checked = centre.compose("exec", "-T", "prometheus", *check).split("\n")
    rules = _ask(centre, "rules")["groups"]
    loaded = [rule["name"] for group in rules for rule in group["rules"]]
    assert len(loaded) >= 8, loaded
    assert all(rule["health"] != "err" for group in rules for rule in group["rules"])
    print(f"          targets up: {_targets(centre)}; alarms: {', '.join(loaded)}")
    print(f"          promtool: {'; '.join(line.strip() for line in checked if line)}")


def _service(container: dict[str, Any]) -> str:
    return str(container["Config"]["Labels"]["com.docker.compose.service"])


def _targets(centre: Stack) -> dict[str, int]:
    """Count targets that answer, by job."""
    found: dict[str, int] = {}
    for target in _ask(centre, "targets")["activeTargets"]:
        job = target["labels"]["job"]
        found[job] = found.get(job, 0) + (target["health"] == "up")
    return found


def _ask(centre: Stack, what: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{centre.prometheus_port}/api/v1/{what}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return dict(json.load(answer)["data"])


def _until(is_so: Callable[[], bool], otherwise: str, patience_s: float = 180.0) -> None:
    end = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < end, otherwise
        time.sleep(1.0)


def _bridge_address() -> str:
    """Return an address of this machine that containers of every project reach."""
    show = (
        "docker",
        "network",
        "inspect",
        "bridge",
        "--format",
        "{{(index .IPAM.Config 0).Gateway}}",
    )
    done = subprocess.run(show, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def _some_frames(frames: Path, folder: Path) -> Path:
    """Copy a dozen frames of a night: links lead nowhere from within a container."""
    folder.mkdir(parents=True)
    chosen = {*sorted(frames.glob("*.fz"))[::STRIDE], frames / NEEDED}
    for path in chosen:
        shutil.copy(path, folder)
    return folder


def _root(folder: Path) -> Path:
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, OWNER, OWNER)
    else:
        folder.chmod(0o777)
    return folder
