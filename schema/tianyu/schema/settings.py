"""Typed settings from the environment and a TOML file.

Order: arguments, environment (``TIANYU_…``), the file named by ``TIANYU_CONFIG`` or
``tianyu.toml`` in the working folder, defaults.
"""

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tianyu.schema.errors import ConfigurationError

CONFIG_VARIABLE = "TIANYU_CONFIG"
DEFAULT_FILE = "tianyu.toml"


class Settings(BaseSettings):
    """Everything that differs between installations."""

    model_config = SettingsConfigDict(
        env_prefix="TIANYU_", extra="forbid", frozen=True, secrets_dir=None
    )

    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///tianyu.sqlite"),
        description="where processes and light curves are; SQLAlchemy URL",
    )
    broker_url: SecretStr = Field(
        default=SecretStr("embedded:"),
        description="embedded: (claims straight from the database) or amqp://…",
    )
    site: str = Field(default="local", description="name of the site this machine belongs to")
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR")
    lease_s: float = Field(default=60.0, gt=1.0, description="length of a lease, seconds")
    failure_budget: int = Field(default=3, ge=1, description="failed attempts before giving up")
    lease_loss_budget: int = Field(default=3, ge=1, description="vanished workers before giving up")
    poll_s: float = Field(default=0.5, gt=0.0, description="pause between polls, seconds")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the TOML file between the environment and the defaults."""
        toml = TomlConfigSettingsSource(settings_cls, config_file())
        return init_settings, env_settings, toml

    def shown(self) -> dict[str, Any]:
        """Return the settings for showing to people: passwords replaced by stars."""
        values = self.model_dump()
        for name, value in values.items():
            if isinstance(value, SecretStr):
                values[name] = _without_password(value.get_secret_value())
        return values


def config_file() -> Path:
    """Return the settings file in use; it need not exist."""
    return Path(os.environ.get(CONFIG_VARIABLE, DEFAULT_FILE))


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises
    ------
    ConfigurationError
        If a value does not validate or the file cannot be read; the text names the setting and
        what is wrong.
    """
    try:
        return Settings(**{k: v for k, v in overrides.items() if v is not None})
    except ValidationError as error:
        lines = [f"  {e['loc'][0] if e['loc'] else '?'}: {e['msg']}" for e in error.errors()]
        raise ConfigurationError(
            "these settings cannot be used (environment variables TIANYU_… or the file "
            f"{config_file()}):\n" + "\n".join(lines)
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(
            f"the settings file {config_file()} cannot be read: {error}; mend it, or name "
            f"another in {CONFIG_VARIABLE}"
        ) from error


def _without_password(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return url.split(":", 1)[0] + ":…" if "@" in url else url
