"""Settings: arguments before environment before file before defaults; passwords stay hidden."""

import re
from pathlib import Path

import pytest

from tianyu.schema.errors import ConfigurationError
from tianyu.schema.settings import config_file, load_settings


@pytest.fixture(autouse=True)
def _bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start in an empty folder, without any variable of ours."""
    monkeypatch.chdir(tmp_path)
    names = (
        "CONFIG",
        "SITE",
        "LOG_LEVEL",
        "LEASE_S",
        "DATABASE_URL",
        "BROKER_URL",
        "DATABASE_URL_FILE",
    )
    for name in names:
        monkeypatch.delenv(f"TIANYU_{name}", raising=False)


def test_without_any_settings_it_works_on_one_machine() -> None:
    settings = load_settings()
    assert settings.database_url.get_secret_value() == "sqlite:///tianyu.sqlite"
    assert settings.broker_url.get_secret_value() == "embedded:"
    assert (settings.site, settings.lease_s, settings.failure_budget) == ("local", 60.0, 3)


def test_each_source_overrides_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tianyu.toml").write_text('site = "file"\nlease_s = 10.0\npoll_s = 2.0\n')
    monkeypatch.setenv("TIANYU_SITE", "environment")
    monkeypatch.setenv("TIANYU_LEASE_S", "20")
    settings = load_settings(site="argument")
    assert (settings.site, settings.lease_s, settings.poll_s) == ("argument", 20.0, 2.0)


def test_an_argument_that_is_none_is_no_argument() -> None:
    assert load_settings(site=None).site == "local"


def test_the_file_may_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.toml").write_text('site = "other"')
    monkeypatch.setenv("TIANYU_CONFIG", str(tmp_path / "other.toml"))
    assert config_file() == tmp_path / "other.toml"
    assert load_settings().site == "other"


@pytest.mark.parametrize("name", ["absent.toml", "."])
def test_a_file_that_was_named_and_is_not_there_is_an_error(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    # All defaults instead would be another database.
    Path("tianyu.toml").write_text('site = "here"')
    monkeypatch.setenv("TIANYU_CONFIG", name)
    with pytest.raises(ConfigurationError, match=f"settings file {re.escape(name)} cannot be read"):
        load_settings()


def test_an_empty_name_of_the_file_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tianyu.toml").write_text('site = "here"')
    monkeypatch.setenv("TIANYU_CONFIG", "")
    assert load_settings().site == "here"


@pytest.mark.parametrize("level", ["WARNING", "warning", "Warning"])
def test_levels_of_the_log_are_written_as_one_likes(level: str) -> None:
    assert load_settings(log_level=level).log_level == "WARNING"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('log_level = "loud"', "log_level: Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("log_level = 3", "log_level: Input should be 'DEBUG'"),
        ("lease_s = 0.5", "lease_s: Input should be greater than 1"),
        ('lease_s = "long"', "lease_s: Input should be a valid number"),
        ("failure_budget = 0", "failure_budget: Input should be greater than or equal to 1"),
        ("leese_s = 5", "leese_s: Extra inputs are not permitted"),
        ("site = = 3", "tianyu.toml cannot be read"),
    ],
)
def test_what_cannot_be_used_is_named(text: str, complaint: str) -> None:
    Path("tianyu.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=complaint):
        load_settings()


def test_a_file_that_is_not_text_is_named() -> None:
    Path("tianyu.toml").write_bytes(b"site = '\xff'")
    with pytest.raises(ConfigurationError, match=r"tianyu\.toml cannot be read"):
        load_settings()


def test_all_complaints_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIANYU_LEASE_S", "never")
    Path("tianyu.toml").write_text("poll_s = 0")
    with pytest.raises(ConfigurationError, match="lease_s") as caught:
        load_settings()
    assert "poll_s" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql+pymysql://tianyu:secret@db/tianyu", "mysql+pymysql://tianyu:***@db/tianyu"),
        ("sqlite:///tianyu.sqlite", "sqlite:///tianyu.sqlite"),
        ("mysql://u:secret@host:no-port/db", "mysql:…"),
        ("embedded:", "embedded:"),
    ],
)
def test_passwords_are_never_shown(url: str, shown: str) -> None:
    settings = load_settings(database_url=url, broker_url=url)
    assert settings.shown()["database_url"] == settings.shown()["broker_url"] == shown
    assert "secret" not in repr(settings) + str(settings.shown())


def test_settings_do_not_change_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().site = "elsewhere"


# -- secrets in files --------------------------------------------------------------------------


def test_a_url_with_a_password_may_stand_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("secret").write_text("mysql+pymysql://tianyu:p@db/tianyu\n")
    Path("tianyu.toml").write_text('database_url = "sqlite:///from_toml"')
    monkeypatch.setenv("TIANYU_DATABASE_URL_FILE", "secret")
    url = load_settings().database_url
    assert url.get_secret_value() == "mysql+pymysql://tianyu:p@db/tianyu"
    monkeypatch.setenv("TIANYU_DATABASE_URL", "sqlite:///from_environment")
    assert load_settings().database_url.get_secret_value() == "sqlite:///from_environment"


def test_a_file_of_a_secret_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIANYU_DATABASE_URL_FILE", "absent")
    with pytest.raises(ConfigurationError, match="settings file absent cannot be read"):
        load_settings()
