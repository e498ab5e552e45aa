"""A night through services as processes of their own: the same digits as on one machine."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from tests.integration.served.installation import Installation, Service
from typer.testing import CliRunner

from tianyu.cli.main import app
from tianyu.pipelines.simulation import NightPlan, simulate_night
from tianyu.schema.database import Database
from tianyu.schema.states import Outcome, State
from tianyu.schema.tables import Attempt, Process, Worker

CURVES = "SELECT * FROM light_curve ORDER BY source_id, image_id, radius_pix"
CHUNK = "4"
CONSUMER = ("consumer", "--processes", "1")

pytestmark = pytest.mark.slow


def curves(database: Database) -> list[tuple[Any, ...]]:
    """Return every row of the view, times as text: SQLite knows no other."""
    with database.read() as connection:
        rows = connection.exec_driver_sql(CURVES).all()
    return [
        tuple(f"{v:%Y-%m-%d %H:%M:%S.%f}" if isinstance(v, datetime) else v for v in row)
        for row in rows
    ]


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night") / "frames"
    folder.mkdir()
    simulate_night(NightPlan.small(), folder)
    return folder


@pytest.fixture(scope="module")
def expected(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """The light curves as ``tianyu reduce`` makes them, in a SQLite file."""
    out = tmp_path_factory.mktemp("embedded")
    options = ["--out", str(out), "--chunk", CHUNK, "--workers", "1"]
    answer = CliRunner().invoke(app, ["reduce", str(frames), *options])
    assert answer.exit_code == 0, answer.output
    database = Database(f"sqlite:///{out / 'tianyu.sqlite'}")
    rows = curves(database)
    database.dispose()
    assert len(rows) > 1000
    return rows


@pytest.fixture
def installation(
    frames: Path, database_url: str, broker_url: str, tmp_path: Path
) -> Iterator[Installation]:
    """Everything but the services: the night is registered and waits."""
    installation = Installation(database_url, broker_url, tmp_path)
    try:
        installation.run("init", "--root", str(installation.root))
        installation.run("register", str(frames), "--chunk", CHUNK)
        yield installation
    finally:
        installation.close()


def test_the_light_curves_are_those_of_one_machine(
    installation: Installation, expected: list[tuple[Any, ...]]
) -> None:
    services = [installation.start("manager"), *(installation.start(*CONSUMER) for _ in range(2))]
    installation.wait_until(installation.is_done, "the end of the night")
    assert installation.states() == {State.SUCCEEDED}
    assert curves(installation.database) == expected
    assert [service.stop() for service in services] == [0, 0, 0], installation.logs()
    with installation.database.read() as connection:
        outcomes = connection.scalars(select(Attempt.outcome)).all()
        both = connection.scalars(select(Attempt.worker_id).distinct()).all()
        stopped = connection.scalars(select(Worker.stopped_us)).all()
    assert set(outcomes) == {Outcome.SUCCEEDED.value}
    assert len(both) == 2, "one of the consumers did nothing"
    assert all(stopped), "a consumer did not say goodbye"


def test_a_verdict_by_hand_is_published_for_the_consumers_and_can_be_taken_back(
    installation: Installation, expected: list[tuple[Any, ...]]
) -> None:
    installation.start("manager")
    installation.start(*CONSUMER)
    installation.wait_until(installation.is_done, "the end of the night")
    answer = json.loads(installation.run("frames", "--reject", "light_r_0003", "--json"))
    assert (answer["is_new"], answer["is_current"]) == (True, False)
    assert answer["n_reused"] > 0
    installation.wait_until(installation.is_done, "the end of the new run")
    assert installation.states() == {State.SUCCEEDED}
    assert len(curves(installation.database)) == len(expected)
    assert curves(installation.database) != expected
    answer = json.loads(installation.run("frames", "--reset", "light_r_0003", "--json"))
    assert (answer["is_new"], answer["is_current"]) == (False, True)
    assert curves(installation.database) == expected


def kill_at_work(installation: Installation, consumer: Service) -> str:
    """Kill a consumer in the middle of a step; return the command of the step."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if installation.running_at(consumer) is not None:
            # Frozen first, so that the step cannot end between the look and the kill.
            consumer.freeze()
            command = installation.running_at(consumer)
            if command is not None:
                consumer.kill()
                return command
            consumer.thaw()
        time.sleep(0.01)
    pytest.fail(f"the consumer never worked\n{installation.logs()}")


def test_killed_in_the_middle_they_are_the_same_again(
    installation: Installation, expected: list[tuple[Any, ...]]
) -> None:
    manager, victim = installation.start("manager"), installation.start(*CONSUMER)
    command = kill_at_work(installation, victim)
    manager.kill()
    assert State.RUNNING in installation.states()
    installation.start("manager")
    installation.start(*CONSUMER)
    installation.wait_until(installation.is_done, "the end of the night")
    assert installation.states() == {State.SUCCEEDED}
    assert curves(installation.database) == expected
    with installation.database.read() as connection:
        query = (
            select(Process.command, Attempt.number, Attempt.outcome, Process.lease_losses)
            .join(Process, Process.id == Attempt.process_id)
            .order_by(Attempt.id)
        )
        log = connection.execute(query).all()
    lost = [row for row in log if row.outcome == Outcome.LEASE_LOST.value]
    assert [(row.command, row.number, row.lease_losses) for row in lost] == [(command, 1, 1)]
    succeeded = Counter(row.outcome for row in log)[Outcome.SUCCEEDED.value]
    assert succeeded == len(log) - 1, "something was done twice"
