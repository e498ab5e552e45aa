"""Which servers the tests start: a URL before a binary, a binary before an image, else none."""

from pathlib import Path

import pytest
from tests.servers import choice
from tests.servers.binaries import Binaries

TOOLS = Path("/opt/servers")
ALL = Binaries(TOOLS / "mysqld", None, TOOLS / "rabbitmq-server", TOOLS / "rabbitmqctl")
NONE = Binaries(None, None, None, None)

MYSQLD = "/opt/servers/mysqld"
MYSQL, RABBITMQ = "mysql:8.4 in Docker", "rabbitmq:4-management in Docker"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "BROKER_URL", "SERVERS", "DATABASE_IMAGE", "BROKER_IMAGE"):
        monkeypatch.delenv(f"TIANYU_TEST_{name}", raising=False)


@pytest.mark.parametrize(
    ("binaries", "engine", "variables", "expected"),
    [
        (ALL, True, {}, (MYSQLD, "/opt/servers/rabbitmq-server")),
        (NONE, True, {}, (MYSQL, RABBITMQ)),
        (NONE, False, {}, ("none", "none")),
        (ALL, True, {"SERVERS": "docker"}, (MYSQL, RABBITMQ)),
        (ALL, False, {"SERVERS": "docker"}, ("none", "none")),
        (NONE, True, {"SERVERS": "binaries"}, ("none", "none")),
        (NONE, True, {"DATABASE_IMAGE": "mysql:9"}, ("mysql:9 in Docker", RABBITMQ)),
        (ALL, True, {"BROKER_URL": "amqp://h/"}, (MYSQLD, "as TIANYU_TEST_BROKER_URL says")),
        (Binaries(TOOLS / "mysqld", None, None, None), True, {}, (MYSQLD, RABBITMQ)),
    ],
)  # fmt: skip
def test_what_serves(
    monkeypatch: pytest.MonkeyPatch,
    binaries: Binaries,
    engine: bool,
    variables: dict[str, str],
    expected: tuple[str, str],
) -> None:
    monkeypatch.setattr(choice, "find_binaries", lambda: binaries)
    monkeypatch.setattr(choice, "_engine_answers", lambda: engine)
    for name, value in variables.items():
        monkeypatch.setenv(f"TIANYU_TEST_{name}", value)
    assert (str(choice.choose_database()), str(choice.choose_broker())) == expected


def test_a_kind_that_is_not_known_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIANYU_TEST_SERVERS", "podman")
    with pytest.raises(pytest.UsageError, match="TIANYU_TEST_SERVERS=podman: choose binaries"):
        choice.choose_database()


def test_the_images_that_are_pulled_are_those_that_are_started() -> None:
    script = Path(__file__).parents[1] / "install_servers.sh"
    text = script.read_text(encoding="utf-8")
    assert f"${{TIANYU_TEST_DATABASE_IMAGE:-{choice.DATABASE_IMAGE}}}" in text
    assert f"${{TIANYU_TEST_BROKER_IMAGE:-{choice.BROKER_IMAGE}}}" in text
