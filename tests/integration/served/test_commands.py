"""Every command that only looks answers the same whatever database it looks at."""

import re
from collections.abc import Iterator

import pytest
from tests.servers.mariadb import DatabaseServer, ExternalDatabaseServer
from tests.unit.cli_fixtures import FLAT, SELECT, build_survey, invoke

QUESTIONS = [
    "status",
    "status 1",
    "run list",
    "run show 1",
    "run show 2",
    f"process show {SELECT}",
    f"process show {FLAT}",
    "sources --run 1",
    "frames --run 1",
    "lightcurve --source 1",
    "lightcurve --source 1 --run 1",
    "lightcurve --target HAT-P-32",
    "site list",
    "target list",
    "instrument list",
]

OF_THE_MOMENT = re.compile(
    r'"20(?!17|23)\d\d-[^"]*"'  # times of today; those of the survey are of 2017 and 2023
    r'|"\w+_s": 0\.\d+'  # moments between two of them
    r'|"(running|lease_left)_s": [\d.]+'
    r'|"(worker|host|root)": .*'
)
"""What differs between two surveys that were made one after the other."""


@pytest.fixture(scope="module")
def surveys(
    database_server: DatabaseServer | ExternalDatabaseServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, str]]:
    """The same small survey in a file and on a server."""
    folder = tmp_path_factory.mktemp("survey")
    with database_server.fresh_database() as url:
        yield build_survey(folder), build_survey(folder, url)


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_answer_does_not_depend_on_the_database(
    surveys: tuple[str, str], question: str
) -> None:
    answers = [invoke(url, *question.split(), "--json") for url in surveys]
    embedded, served = (OF_THE_MOMENT.sub("", text) for text in answers)
    assert served == embedded


@pytest.mark.parametrize("command", [f"process retry {FLAT}", "run cancel 2", "run rescue 2"])
def test_commands_that_change_something_do_the_same(surveys: tuple[str, str], command: str) -> None:
    embedded, served = (invoke(url, *command.split(), "--json") for url in surveys)
    assert served == embedded
