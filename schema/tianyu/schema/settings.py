"""Typed settings from the environment and a TOML file.

Order: arguments, environment (``TIANYU_…``), the file named by ``TIANYU_CONFIG`` or
``tianyu.toml`` in the working folder, defaults. What is secret, URLs with their passwords and the
token of the file services, may stand in files of its own:
``TIANYU_DATABASE_URL_FILE=/run/secrets/database_url``.
"""

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tianyu.schema import tls
from tianyu.schema.errors import ConfigurationError

CONFIG_VARIABLE = "TIANYU_CONFIG"
DEFAULT_FILE = "tianyu.toml"
SECRET_SETTINGS = ("database_url", "broker_url", "file_token")


class SecretFiles(PydanticBaseSettingsSource):
    """Settings in files that ``TIANYU_<NAME>_FILE`` names, as containers hand secrets over."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the content of the file of one setting; None where none is named."""
        path = os.environ.get(f"TIANYU_{field_name.upper()}_FILE")
        content = Path(path).read_text(encoding="utf-8").strip() if path else None
        return content, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return every setting that stands in a file."""
        fields = self.settings_cls.model_fields
        values = {name: self.get_field_value(fields[name], name)[0] for name in SECRET_SETTINGS}
        return {name: value for name, value in values.items() if value is not None}


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
    file_token: SecretStr = Field(
        default=SecretStr(""),
        description="what sites show each other before files are sent; 16 characters or more",
    )
    file_tls_ca: Path | None = Field(
        default=None,
        description="certificates that vouch for file services; none: tls_ca, else the system's",
    )
    transfer_limit_bytes_per_s: float | None = Field(
        default=None,
        gt=0,
        description="most that one transfer takes from another site; none: what the link carries",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="DEBUG, INFO, WARNING or ERROR"
    )
    index_folders: str = Field(
        default="",
        description="folders with astrometry.net index files, separated as in PATH; empty: "
        "where they are usually installed",
    )
    catalogue_cache: str = Field(
        default="",
        description="folder for answers of star catalogues; empty: the user's cache",
    )
    kernels: Literal["fast", "reference", "gpu"] = Field(
        default="fast",
        description="fast: frames are measured by compiled code; reference: by plain NumPy and "
        "SEP, several times slower; gpu: on a GPU, by CuPy, as consumers of group gpu do anyway",
    )
    kernel_cache: str = Field(
        default="", description="folder for compiled code; empty: the user's cache"
    )
    kernel_source: str = Field(
        default="", description="folder of code compiled before, copied to where there is none yet"
    )
    lease_s: float = Field(default=60.0, gt=1.0, description="length of a lease, seconds")
    failure_budget: int = Field(default=3, ge=1, description="failed attempts before giving up")
    lease_loss_budget: int = Field(default=3, ge=1, description="vanished workers before giving up")
    poll_s: float = Field(default=0.5, gt=0.0, description="pause between polls, seconds")
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="where services answer /metrics, /healthz, /readyz and /livez; none: nowhere",
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="address at which they listen for that"
    )
    tls_ca: Path | None = Field(
        default=None,
        description="certificates that vouch for database and broker; none: TLS as the URLs say",
    )
    tls_certificate: Path | None = Field(
        default=None, description="our certificate, for servers that ask for one"
    )
    tls_key: Path | None = Field(default=None, description="the key of our certificate")
    max_image_pixels: int = Field(
        default=2**28, ge=2**16, description="largest image that is read, pixels"
    )
    memory_limit_bytes: int | None = Field(
        default=None,
        ge=100_000_000,
        description="most that one process of a consumer may hold, bytes; none: no limit",
    )
    disk_full_pause_s: float = Field(
        default=30.0, gt=0.0, description="how long nothing is begun after a full disk, seconds"
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the files between the environment and the defaults."""
        toml = TomlConfigSettingsSource(settings_cls, _present(config_file()))
        return init_settings, env_settings, SecretFiles(settings_cls), toml

    @property
    def database_address(self) -> str:
        """URL of the database with password and TLS, for opening it; never for showing."""
        return tls.database_address(self.database_url.get_secret_value(), self)

    @property
    def broker_address(self) -> str:
        """URL of the broker with password and TLS, for opening it; never for showing."""
        return tls.broker_address(self.broker_url.get_secret_value(), self)

    def shown(self) -> dict[str, Any]:
        """Return the settings for showing to people: passwords replaced by stars."""
        values = self.model_dump()
        for name, value in values.items():
            if name == "file_token":
                values[name] = "…" if value.get_secret_value() else ""
            elif isinstance(value, SecretStr):
                values[name] = _without_password(value.get_secret_value())
            elif isinstance(value, Path):
                values[name] = str(value)
        return values


def config_file() -> Path:
    """Return the settings file in use; only one that ``TIANYU_CONFIG`` names must exist."""
    # An empty variable is as none: `TIANYU_CONFIG= tianyu …` is how shells take one away.
    return Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_FILE)


def _present(path: Path) -> Path:
    """Return the path of a settings file unless it was asked for by name and is not there."""
    # Without a look at it a name that was mistyped would mean: all defaults.
    if os.environ.get(CONFIG_VARIABLE):
        path.open("rb").close()
    return path


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises
    ------
    ConfigurationError
        If a value does not validate or the file cannot be read; the text names the setting and
        what is wrong.
    """
    try:
        settings = Settings(**{k: v for k, v in overrides.items() if v is not None})
    except ValidationError as error:
        lines = [f"  {e['loc'][0] if e['loc'] else '?'}: {e['msg']}" for e in error.errors()]
        raise ConfigurationError(
            "these settings cannot be used (environment variables TIANYU_… or the file "
            f"{config_file()}):\n" + "\n".join(lines)
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        culprit = getattr(error, "filename", None) or config_file()
        raise ConfigurationError(
            f"the settings file {culprit} cannot be read: {error}; mend it, or name "
            f"another in {CONFIG_VARIABLE} or TIANYU_…_FILE"
        ) from error
    tls.check(settings)
    return settings


def _without_password(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return url.split(":", 1)[0] + ":…" if "@" in url else url
