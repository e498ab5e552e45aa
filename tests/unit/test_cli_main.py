"""What all commands share: help, errors, exit codes, the database they open."""

import inspect
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import pytest
import typer
from tests.unit.cli_fixtures import PID, build_survey, invoke

from tianyu.cli.errors import WorkFailedError, exit_code
from tianyu.cli.lazy import CommandEntry
from tianyu.cli.main import COMMANDS
from tianyu.pipelines.errors import MissingInputError
from tianyu.schema.database import Database, sqlite_url

NOWHERE = "sqlite:////nowhere/at/all.sqlite"


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_survey(tmp_path_factory.mktemp("survey"))


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    level = logging.getLogger("tianyu").level
    yield
    logging.getLogger("tianyu").setLevel(level)


def words(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def functions_of(entry: CommandEntry) -> list[tuple[list[str], Callable[..., None]]]:
    """Return the words and the function of every command behind an entry."""
    module, _, attribute = entry.place.partition(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        return [([entry.name], found)]
    registered = found.registered_commands
    return [([entry.name, str(c.name)], c.callback) for c in registered]


EVERY = pytest.mark.parametrize("entry", COMMANDS, ids=lambda entry: entry.name)


def test_help_lists_every_command_with_its_summary() -> None:
    shown = words(invoke(NOWHERE, "--help"))
    for entry in COMMANDS:
        assert f"{entry.name} {entry.summary}" in shown


@EVERY
def test_the_summary_in_the_list_is_that_of_the_command(entry: CommandEntry) -> None:
    module, _, attribute = entry.place.partition(":")
    found = getattr(import_module(module), attribute)
    text = found.info.help if isinstance(found, typer.Typer) else inspect.getdoc(found)
    assert text.splitlines()[0] == entry.summary


@EVERY
def test_every_command_has_help_with_an_example(entry: CommandEntry) -> None:
    for name, _ in functions_of(entry):
        assert f"Example: tianyu {' '.join(name)}" in words(invoke(NOWHERE, *name, "--help"))


SILENT = {"init", "manager", "consumer", "scale", "serve-files"}
"""Commands that do their work and have nothing to answer."""


@EVERY
def test_every_command_answers_programs(entry: CommandEntry) -> None:
    for _, function in functions_of(entry):
        assert entry.name in SILENT or "as_json" in inspect.signature(function).parameters


def test_nothing_slow_is_imported_for_the_help() -> None:
    code = (
        "import sys, tianyu.cli.main; "
        "print([m for m in ('sqlalchemy', 'numpy', 'matplotlib', 'astropy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_command_suggests_the_nearest() -> None:
    assert "Did you mean 'lightcurve'" in words(invoke(NOWHERE, "lightcurv", code=2))


def test_version() -> None:
    assert invoke(NOWHERE, "--version").startswith("tianyu ")


def test_a_foreseen_error_is_one_line_and_exit_code_2() -> None:
    shown = invoke(NOWHERE, "status", code=2)
    assert shown.startswith("error: there is no database sqlite:////nowhere/at/all.sqlite; give")
    assert len(shown.splitlines()) == 1


def test_debug_lets_the_error_through() -> None:
    invoke(NOWHERE, "--debug", "status", code=1)
    invoke(NOWHERE, "status", code=1, TIANYU_DEBUG="1")


def test_failed_work_exits_with_1_and_everything_else_with_2() -> None:
    assert exit_code(WorkFailedError("3 processes failed")) == 1
    assert exit_code(MissingInputError("no such step")) == 2


def test_looking_at_a_database_never_makes_one(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    invoke(sqlite_url(path), "status", code=2)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_database_is_refused_with_what_to_do(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "empty.sqlite"))
    with database.write() as connection:
        connection.exec_driver_sql("PRAGMA user_version = 1")
    database.dispose()
    assert "is empty" in invoke(str(database), "status", code=2)


def test_a_file_that_is_no_database_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    path.write_text("these are notes, " * 100, encoding="utf-8")
    shown = invoke(sqlite_url(path), "status", code=2)
    assert shown.startswith("error: the database")
    assert "file is not a database" in shown


def test_the_option_comes_before_the_environment(survey: str) -> None:
    assert "Run 2" in invoke(NOWHERE, "status", "--database", survey)


def test_a_process_id_that_is_none(survey: str) -> None:
    assert "'12x' is not a process id" in invoke(survey, "process", "show", "12x", code=2)
    assert f"no process {PID}" in invoke(survey, "process", "show", str(PID), code=2)
