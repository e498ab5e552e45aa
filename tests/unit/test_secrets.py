"""No password in anything that a command says, however it fails."""

import logging
import traceback
from pathlib import Path

import pytest
from tests.unit.cli_fixtures import build_survey
from typer.testing import CliRunner

from tianyu.cli.main import COMMANDS, app
from tianyu.consumer.messages import Workplace
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.errors import ConfigurationError
from tianyu.schema.settings import load_settings

CANARY = "c4nary-in-a-mine"
DATABASE_AWAY = f"mysql+pymysql://tianyu:{CANARY}@127.0.0.1:1/tianyu"
BROKER_AWAY = f"amqp://tianyu:{CANARY}@127.0.0.1:1/v"

ARGUMENTS = {
    "demo": ["--help"],
    "reduce": ["--help"],
    "lightcurve": ["--source", "1"],
    "site": ["list"],
    "instrument": ["list"],
    "target": ["list"],
    "register": ["."],
    "publish": ["1"],
    "run": ["list"],
    "process": ["show", "1"],
    "health": ["--port", "1"],
}
"""Of commands that need some."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tianyu.schema.database.RETRY_SECONDS", ())

    def give_up(_seconds: float) -> None:
        raise KeyboardInterrupt

    # Services wait for a database that is away, and say so.
    monkeypatch.setattr("tianyu.cli.connect.time.sleep", give_up)
    monkeypatch.chdir(tmp_path)


def everything_said(
    caplog: pytest.LogCaptureFixture, arguments: list[str], **variables: str
) -> str:
    """Run a command; return its output, its log, and the traceback that --debug would show."""
    with caplog.at_level(logging.DEBUG):
        result = CliRunner().invoke(app, arguments, env={"COLUMNS": "300", **variables})
    shown = "".join(traceback.format_exception(*result.exc_info)) if result.exc_info else ""
    return result.output + caplog.text + shown


@pytest.mark.parametrize("command", [entry.name for entry in COMMANDS])
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_when_the_servers_are_away(
    command: str, debug: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    said = everything_said(
        caplog,
        [*debug, "--log-level", "DEBUG", command, *ARGUMENTS.get(command, [])],
        TIANYU_DATABASE_URL=DATABASE_AWAY,
        TIANYU_BROKER_URL=BROKER_AWAY,
    )
    assert said
    assert CANARY not in said


@pytest.mark.parametrize("command", [["dead-letters"], ["init"], ["status"], ["config"]])
def test_when_only_the_broker_is_away(
    command: list[str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    url = build_survey(tmp_path)
    variables = {"TIANYU_DATABASE_URL": url, "TIANYU_BROKER_URL": BROKER_AWAY}
    said = everything_said(caplog, ["--debug", *command], **variables)
    assert said
    assert CANARY not in said


BROKEN = [
    f"mysql://u:{CANARY}@host:no-port/db",
    f"mysql//u:{CANARY}@host/db",
    f"postgresql://u:{CANARY}@host/db",
    f"sqlite://u:{CANARY}@host",
    f"amqp://u:{CANARY}@host:no-port/v",
    f"amqps://u:{CANARY}@host/v?ssl_options={{",
    f"kafka://u:{CANARY}@host",
    f"amqp://u:{CANARY}@[::1/v",
]


@pytest.mark.parametrize("url", BROKEN)
@pytest.mark.parametrize("command", ["config", "status", "dead-letters", "init", "manager"])
def test_when_a_url_is_wrong(
    url: str, command: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    variables = {"TIANYU_DATABASE_URL": url, "TIANYU_BROKER_URL": BROKER_AWAY}
    if url.startswith(("amqp", "kafka")):
        variables = {"TIANYU_DATABASE_URL": build_survey(tmp_path), "TIANYU_BROKER_URL": url}
        # A manager connects in the background, and would try for ever.
        command = "dead-letters" if command == "manager" else command
    assert CANARY not in everything_said(caplog, ["--debug", command], **variables)


def test_what_holds_a_url_does_not_show_it_by_accident() -> None:
    settings = load_settings(database_url=DATABASE_AWAY, broker_url=BROKER_AWAY)
    place = Workplace(DATABASE_AWAY, 1, Path(), "w", (1,), 60.0, ())
    database = Database(DATABASE_AWAY)
    for thing in (settings, place, database, database.engine, database.url):
        assert CANARY not in f"{thing} {thing!r}"


@pytest.mark.parametrize("text", [f'database_url = "{CANARY}', f'broker_url = ["{CANARY}"]'])
def test_a_secret_in_a_settings_file_with_an_error_is_not_quoted(text: str) -> None:
    Path("tianyu.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    assert CANARY not in str(caught.value)


def test_the_url_of_a_file_is_shown_whole() -> None:
    url = sqlite_url(Path("night.sqlite"))
    assert load_settings(database_url=url).shown()["database_url"] == url
