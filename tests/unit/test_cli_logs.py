"""The two forms of log lines."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tianyu.cli.logs import HumanFormatter, JsonFormatter, LogLevel, configure_logging

PID = 1_766_100_000_000_000_001


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("tianyu")
    handlers, level = list(root.handlers), ours.level
    yield
    root.handlers[:] = handlers
    ours.setLevel(level)


def record(message: str = "finished align", **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("tianyu.consumer.consumer", 20, "f.py", 1, message, None, None)
    made.created = 0.0
    made.__dict__.update(extra)
    return made


def test_a_json_line_carries_the_ids() -> None:
    line = JsonFormatter().format(
        record(
            action="end",
            run_id=3,
            process_id=PID,
            attempt=2,
            worker_id="w",
            site="mountain",
            group="cpu",
        )
    )
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.000+00:00",
        "level": "INFO",
        "logger": "tianyu.consumer.consumer",
        "message": "finished align",
        "action": "end",
        "run": 3,
        # A text: a double would change it.
        "process": str(PID),
        "attempt": 2,
        "worker": "w",
        "site": "mountain",
        "group": "cpu",
    }


def test_a_json_line_stays_one_line_with_a_traceback() -> None:
    error = KeyError("gone")
    line = JsonFormatter().format(record(exc_info=(KeyError, error, None)))
    assert "\n" not in line
    assert "KeyError: 'gone'" in json.loads(line)["exception"]


def test_a_line_for_people() -> None:
    line = HumanFormatter().format(record(action="end", run_id=3, attempt=2))
    assert line == "00:00:00 INFO consumer: finished align  run=3 attempt=2"


def test_configuring_twice_logs_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevel.INFO)
    configure_logging(LogLevel.INFO, as_json=True)
    logging.getLogger("tianyu.manager").info("hello", extra={"run_id": 1})
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["run"] == 1


def test_libraries_log_warnings_only(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(LogLevel.DEBUG)
    logging.getLogger("alembic.runtime").info("Context impl SQLiteImpl.")
    assert capsys.readouterr().err == ""
