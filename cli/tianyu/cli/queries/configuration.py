"""The settings in force, and where each of them comes from."""

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tianyu.schema.settings import Settings, config_file, load_settings


@dataclass(frozen=True)
class ShownSetting:
    """One setting; passwords are hidden in ``value``."""

    name: str
    value: Any
    source: str
    description: str


def read_settings(database_url: str | None = None) -> list[ShownSetting]:
    """Return every setting as the program uses it.

    Parameters
    ----------
    database_url : str, optional
        From ``--database``, which comes before every other source.

    Raises
    ------
    ConfigurationError
        If a setting cannot be used.
    """
    arguments = {} if database_url is None else {"database_url": database_url}
    shown = load_settings(**arguments).shown()
    sources = {
        **dict.fromkeys(_names_in_file(), f"file {config_file()}"),
        **dict(_environment()),
        **dict.fromkeys(arguments, "argument"),
    }
    return [
        ShownSetting(name, shown[name], sources.get(name, "default"), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def _names_in_file() -> list[str]:
    path = config_file()
    if not path.is_file():
        return []
    return list(tomllib.loads(path.read_text(encoding="utf-8")))


def _environment() -> Iterator[tuple[str, str]]:
    prefix = Settings.model_config.get("env_prefix", "")
    for variable in os.environ:
        if variable.upper().startswith(prefix):
            # TIANYU_DATABASE_URL_FILE names the file in which the URL stands.
            name = variable[len(prefix) :].lower().removesuffix("_file")
            yield name, f"environment {variable}"
