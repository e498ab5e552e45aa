"""What the files in deploy/ and the compose files promise to operators."""

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tianyu.schema.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SITE = ROOT / "docker-compose.yml"
NODE = DEPLOY / "site-node.compose.yml"
OPENED = DEPLOY / "open-servers.compose.yml"
PROMETHEUS = DEPLOY / "prometheus" / "prometheus.yml"
PROVISIONING = DEPLOY / "grafana" / "provisioning"
RULES = DEPLOY / "prometheus" / "rules.yml"
DASHBOARD = DEPLOY / "grafana" / "dashboard.json"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
SCRIPTS = sorted(DEPLOY.rglob("*.sh"))

METRIC = re.compile(r"\btianyu_[a-z_]+")
SUFFIX = re.compile(r"_(total|bucket|sum|count)$")
NOT_OURS_TO_ADD = {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}
"""What entry points need that begin as root and become another account; nothing that reaches the
machine."""


class Overrides(yaml.SafeLoader):
    """Reads compose's own tags, such as !override, as if they were not there."""


Overrides.add_constructor("!override", lambda loader, node: loader.construct_sequence(node))


def services() -> list[Any]:
    found = []
    for path in (SITE, NODE):
        for name, service in yaml.safe_load(path.read_text())["services"].items():
            found.append(pytest.param(service, id=f"{path.stem}:{name}"))
    return found


@pytest.mark.parametrize("service", services())
def test_a_service_has_no_more_rights_than_it_needs(service: dict[str, Any]) -> None:
    for grant in ("privileged", "network_mode", "pid", "ipc", "devices", "userns_mode"):
        assert grant not in service
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", [])) <= NOT_OURS_TO_ADD
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["read_only"] is True
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))


@pytest.mark.parametrize("service", services())
def test_a_service_can_not_fill_the_machine(service: dict[str, Any]) -> None:
    assert {"mem_limit", "pids_limit"} <= service.keys()
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()
    assert service["init"] is True


@pytest.mark.parametrize("service", services())
def test_ports_are_published_at_loopback_alone(service: dict[str, Any]) -> None:
    for port in service.get("ports", []):
        # Docker's short form without an address publishes everywhere.
        # An operator may name another one, and then knows.
        address = r"(127\.0\.0\.1|\$\{[A-Z_]+:-127\.0\.0\.1\})"
        assert re.fullmatch(rf"{address}:[^:]+(:-\d+\}})?:\d+", port), port


@pytest.mark.parametrize("service", services())
def test_secrets_come_from_files(service: dict[str, Any]) -> None:
    for name, value in service.get("environment", {}).items():
        if re.search(r"PASS|TOKEN|SECRET|URL", name):
            assert name.endswith("_FILE"), name
            assert str(value).startswith("/run/secrets/"), name
    assert "://" not in json.dumps([service.get("command"), service.get("environment")])


@pytest.mark.parametrize("path", [SITE, NODE], ids=["site", "node"])
def test_every_secret_and_volume_that_is_used_is_declared(path: Path) -> None:
    whole = yaml.safe_load(path.read_text())
    for service in whole["services"].values():
        secrets = [s if isinstance(s, str) else s["source"] for s in service.get("secrets", [])]
        assert set(secrets) <= whole["secrets"].keys()
        named = [v.partition(":")[0] for v in service.get("volumes", []) if v[0].isalpha()]
        assert set(named) <= whole.get("volumes", {}).keys()
    assert all(set(secret) == {"file"} for secret in whole["secrets"].values())


def test_services_use_the_account_of_their_kind() -> None:
    site = yaml.safe_load(SITE.read_text())["services"]
    for service, role in (("manager", "manager"), ("consumer-cpu", "consumer")):
        urls = [s for s in site[service]["secrets"] if "database_url" in str(s)]
        assert urls == [{"source": f"{role}_database_url", "target": "database_url"}]


@pytest.mark.parametrize("service", services())
def test_our_variables_are_settings(service: dict[str, Any]) -> None:
    known = {f"TIANYU_{name.upper()}" for name in Settings.model_fields}
    ours = [name for name in service.get("environment", {}) if name.startswith("TIANYU_")]
    assert {name.removesuffix("_FILE") for name in ours} <= known


def test_services_begin_when_what_they_need_answers() -> None:
    site = yaml.safe_load(SITE.read_text())["services"]
    for server in ("mysql", "rabbitmq"):
        assert site["migrate"]["depends_on"][server]["condition"] == "service_healthy"
        assert "healthcheck" in site[server]
    for ours in ("manager", "consumer-cpu"):
        assert site[ours]["depends_on"] == {
            "accounts": {"condition": "service_completed_successfully"}
        }
        assert site[ours]["healthcheck"]["test"] == ["CMD", "tianyu", "health", "--ready"]
    # Rights name tables.
    assert "migrate" in site["accounts"]["depends_on"]
    # The port that `--scale` would have two containers fight for.
    assert not any("container_name" in service for service in site.values())


def test_the_example_of_settings_shows_every_variable_with_its_default() -> None:
    example = (DEPLOY / ".env.example").read_text()
    for path in (SITE, NODE, OPENED):
        text = path.read_text()
        for name, default in re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", text):
            assert f"#{name}={default}\n" in example
        for name in re.findall(r"\$\{([A-Z_]+):\?", text):
            assert f"#{name}=" in example


def test_servers_are_opened_with_tls_at_an_address_that_must_be_named() -> None:
    opened = yaml.load(OPENED.read_text(), Overrides)  # noqa: S506 a safe loader
    for name in ("mysql", "rabbitmq"):
        for port in opened["services"][name]["ports"]:
            assert re.match(r"127\.0\.0\.1:|\$\{TIANYU_SERVERS_ADDRESS:\?[^}]+\}:", port), port
        assert {"ca.pem", "servers.pem", "servers.key"} <= set(opened["services"][name]["secrets"])
    assert "--require-secure-transport=ON" in opened["services"]["mysql"]["command"]
    # Compose replaces a command as a whole.
    site = yaml.safe_load(SITE.read_text())["services"]
    assert set(site["mysql"]["command"]) <= set(opened["services"]["mysql"]["command"])
    assert "listeners.tcp = none" in (DEPLOY / "rabbitmq" / "tls.conf").read_text()
    assert not any(port.endswith(":5672") for port in opened["services"]["rabbitmq"]["ports"])


def test_our_services_check_the_servers_once_these_are_opened() -> None:
    opened = yaml.load(OPENED.read_text(), Overrides)["services"]  # noqa: S506 a safe loader
    site = yaml.safe_load(SITE.read_text())["services"]
    ours = {name for name in site if "broker_url" in site[name].get("secrets", [])}
    assert ours == {"migrate", "manager", "consumer-cpu", "consumer-bigmem", "tianyu"}
    for name in ours:
        assert opened[name]["environment"] == {"TIANYU_TLS_CA": "/run/secrets/ca.pem"}
        assert opened[name]["secrets"] == ["ca.pem"]


@pytest.mark.parametrize("files", [[SITE], [SITE, OPENED], [NODE]], ids=["site", "opened", "node"])
def test_compose_reads_the_files_and_publishes_no_more_than_they_say(files: list[Path]) -> None:
    compose = ["docker", "compose"]
    if (
        shutil.which("docker") is None
        or subprocess.run(
            [*compose, "version"], capture_output=True, timeout=30, check=False
        ).returncode
    ):
        pytest.skip("needs docker with its compose plug-in; no engine")
    named = [word for path in files for word in ("--file", str(path))]
    done = subprocess.run(
        [*compose, *named, "--profile", "*", "config", "--format", "json"],
        env={
            "PATH": os.environ["PATH"],
            "TIANYU_SITE": "observatory",
            "TIANYU_ROOT": "/srv/tianyu",
            "TIANYU_SECRETS": "/etc/tianyu/secrets",
            "TIANYU_SERVERS_ADDRESS": "192.0.2.1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {
        (port["host_ip"], port["target"])
        for service in json.loads(done.stdout)["services"].values()
        for port in service.get("ports", [])
    }
    outside = {target for address, target in found if address != "127.0.0.1"}
    assert outside == ({3306, 5671} if OPENED in files else set())
    assert ("127.0.0.1", 5672) not in found or files == [SITE]


def test_prometheus_asks_every_service_that_tells_and_knows_the_alarms() -> None:
    site = yaml.safe_load(SITE.read_text())["services"]
    prometheus = yaml.safe_load(PROMETHEUS.read_text())
    names = [
        name
        for job in prometheus["scrape_configs"]
        for source in job.get("dns_sd_configs", [])
        for name in source["names"]
    ]
    tells = {n for n, s in site.items() if (s.get("command") or [""])[0] in {"manager", "consumer"}}
    assert set(names) == tells
    # The image says where our services tell.
    port = re.search(r"TIANYU_METRICS_PORT=(\d+)", (DEPLOY / "Dockerfile").read_text())
    assert port is not None
    for job in prometheus["scrape_configs"]:
        for source in job.get("dns_sd_configs", []):
            assert source["port"] == int(port.group(1))
    # The jobs of which the alarms speak.
    jobs = {job["job_name"] for job in prometheus["scrape_configs"]}
    assert set(re.findall(r'job="([^"]+)"', RULES.read_text())) <= jobs
    assert prometheus["rule_files"] == ["/etc/prometheus/rules.yml"]
    assert "./deploy/prometheus:/etc/prometheus:ro" in site["prometheus"]["volumes"]


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    grafana = yaml.safe_load(SITE.read_text())["services"]["grafana"]
    sources = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())
    assert [source["url"] for source in sources["datasources"]] == ["http://prometheus:9090"]
    providers = yaml.safe_load((PROVISIONING / "dashboards" / "tianyu.yml").read_text())
    folder = providers["providers"][0]["options"]["path"]
    mounted = [volume.split(":")[1] for volume in grafana["volumes"]]
    assert f"{folder}/tianyu.json" in mounted
    # What the dashboard lets choose among is a kind of source that is there.
    variables = json.loads(DASHBOARD.read_text())["templating"]["list"]
    assert [variable["query"] for variable in variables] == [sources["datasources"][0]["type"]]


def test_the_image_is_pinned_and_has_no_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    # Asks a registry before anything else.
    assert "# syntax" not in text
    assert "--constraint constraints.txt" in text
    final = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER 10001:10001$", final, re.MULTILINE)
    assert "pip" not in final


def test_every_public_image_has_a_version_and_a_stand_in_where_one_can_be_made() -> None:
    make = (DEPLOY / "images" / "stand-in" / "make.sh").read_text()
    images = dict(re.findall(r"\$\{([A-Z]+)_IMAGE:-([^}]+)\}", SITE.read_text()))
    assert images.keys() == {"TIANYU", "MYSQL", "RABBITMQ", "PROMETHEUS", "GRAFANA"}
    for name, image in images.items():
        assert re.search(r":v?\d", image), image
        # No distribution packages Grafana, and ours is built here.
        assert name in {"TIANYU", "GRAFANA"} or f"    {image}) make_" in make


def code_metrics() -> set[str]:
    """Every name in the two modules that tell Prometheus, prefix and all."""
    names: set[str] = set()
    for package in ("manager", "consumer"):
        text = (ROOT / package / "tianyu" / package / "metrics.py").read_text()
        names |= set(METRIC.findall(text))
        # The manager's counters stand in a table and get the prefix in a loop.
        names |= {f"tianyu_{name}" for name in re.findall(r'\(\s*"([a-z_]+)",\s*"[A-Z]', text)}
    return names


def queries() -> list[str]:
    rules = yaml.safe_load(RULES.read_text())["groups"]
    dashboard = json.loads(DASHBOARD.read_text())
    return [rule["expr"] for group in rules for rule in group["rules"]] + [
        target["expr"] for panel in dashboard["panels"] for target in panel["targets"]
    ]


@pytest.mark.parametrize("query", queries())
def test_alarms_and_dashboard_ask_for_metrics_that_exist(query: str) -> None:
    known = code_metrics()
    for name in METRIC.findall(query):
        assert name in known or SUFFIX.sub("", name) in known, name
    assert query.count("(") == query.count(")")


def test_every_alarm_says_what_to_do_and_stands_in_the_guide() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in {"warning", "critical"}
            assert rule["annotations"].keys() == {"summary", "action"}
            assert f"`{rule['alert']}`" in guide


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_are_sound(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text()
    assert "DATABASE_URL=" not in text, "a URL in a unit can be read by everybody"
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    # It looks for the program, which is where the site has put it.
    copy = tmp_path / unit.name
    copy.write_text(text.replace("/opt/tianyu/bin/tianyu", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", str(copy)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr.strip()) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(DEPLOY)))
def test_scripts_are_shell(script: Path) -> None:
    subprocess.run(["sh", "-n", str(script)], check=True, timeout=10)
    if shutil.which("shellcheck"):
        check = ["shellcheck", "--severity=warning", str(script)]
        done = subprocess.run(check, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout


def test_secrets_are_made_once_and_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make = ["sh", str(DEPLOY / "make-secrets.sh"), str(folder)]
    subprocess.run(make, check=True, timeout=10, capture_output=True)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    subprocess.run(make, check=True, timeout=10, capture_output=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == first

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    password = first["mysql_password"]
    assert re.fullmatch("[0-9a-f]{48}", password)
    assert first["database_url"] == f"mysql+pymysql://tianyu:{password}@mysql/tianyu"
    assert len({first[name] for name in first if name.endswith("_password")}) == 8
    mounted = yaml.safe_load(SITE.read_text())["secrets"].values()
    assert {Path(secret["file"]).name for secret in mounted} <= first.keys()
