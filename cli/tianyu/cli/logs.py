"""Logging, configured once: lines for people, or JSON lines for programs, on standard error."""

import json
import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

FIELDS = {
    "action": "action",
    "run": "run_id",
    # A record's own attribute "process" is the number of the process of the system.
    "process": "process_id",
    "attempt": "attempt",
    "worker": "worker_id",
    "site": "site",
    "group": "group",
}
"""Field of a log line, and the name under which ``extra`` carries it."""

_HANDLER_NAME = "tianyu-cli"


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


class HumanFormatter(logging.Formatter):
    """``12:34:56 WARNING manager: took back process 17  run=3 attempt=2``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; a traceback follows on lines of its own."""
        clock = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        source = record.name.rpartition(".")[2]
        ids = " ".join(f"{k}={v}" for k, v in _fields(record).items() if k != "action")
        line = f"{clock} {record.levelname} {source}: {record.getMessage()}"
        line = f"{line}  {ids}" if ids else line
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object per line, with the ids of what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        content: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=False, default=str)


def configure_logging(level: LogLevel | None = None, *, as_json: bool = False) -> None:
    """Send the log of tianyu to standard error; a second call replaces the first.

    Parameters
    ----------
    level : LogLevel, optional
        Of our own loggers; the setting ``log_level`` when None. Libraries log warnings.
    as_json : bool
    """
    handler = _LateStderrHandler()
    handler.name = _HANDLER_NAME
    handler.setFormatter(JsonFormatter() if as_json else HumanFormatter())
    root = logging.getLogger()
    for old in [h for h in root.handlers if h.name == _HANDLER_NAME]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.getLogger("tianyu").setLevel(level.value if level else _level_of_settings())


class _LateStderrHandler(logging.StreamHandler[Any]):
    """Writes to what standard error is at the time of writing, as progress displays need."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _level_of_settings() -> str:
    from tianyu.schema.settings import load_settings  # noqa: PLC0415 - see lazy.py

    return load_settings().log_level


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    found = {}
    for field, name in FIELDS.items():
        value = getattr(record, name, None)
        if value is not None:
            # A process id is a text in JSON: a double holds only 53 bits of it.
            found[field] = str(value) if field == "process" else value
    return found
