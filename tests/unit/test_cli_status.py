"""``tianyu status``: counts, reasons, and who blocks whom."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli_fixtures import (
    DARK,
    FLAT,
    MEASURED,
    READY,
    RUNNING,
    SHIFTED,
    SHIFTED_TOO,
    answer,
    build_survey,
    copy_survey,
    invoke,
)

from tianyu.cli.queries.blocked import _roots
from tianyu.cli.queries.failures import reason_of
from tianyu.cli.queries.progress import StepProgress, _time_left
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.migrate import upgrade
from tianyu.schema.transitions import operator
from tianyu.schema.transitions.blocking import reconcile


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_survey(tmp_path_factory.mktemp("survey"))


def test_the_unfinished_run_is_shown_unless_another_is_asked_for(survey: str) -> None:
    assert [s["run"]["run"] for s in answer(survey, "status")["runs"]] == [2]
    assert [s["run"]["run"] for s in answer(survey, "status", "1")["runs"]] == [1]
    assert [s["run"]["run"] for s in answer(survey, "status", "1", "2")["runs"]] == [1, 2]


def test_counts_by_step_and_state_in_the_order_of_the_graph(survey: str) -> None:
    (standing,) = answer(survey, "status", "2")["runs"]
    assert standing["steps"] == [
        {"step": "master_flat", "processes": {"failed": 1}},
        {"step": "master_dark", "processes": {"cancelled": 1}},
        {"step": "calibrate_align", "processes": {"blocked": 2}},
        {"step": "extract_flux", "processes": {"blocked": 1}},
        {"step": "master_bias", "processes": {"running": 1}},
        {"step": "diagnostics", "processes": {"ready": 1}},
    ]


def test_every_blocked_process_names_its_failed_ancestors(survey: str) -> None:
    (standing,) = answer(survey, "status", "2")["runs"]
    flat = {"process": str(FLAT), "step": "master_flat", "state": "failed", "run": 2}
    dark = {"process": str(DARK), "step": "master_dark", "state": "cancelled", "run": 2}
    assert standing["blocked"] == [
        {
            "ancestors": [flat],
            "steps": {"calibrate_align": 2},
            "processes": [str(SHIFTED), str(SHIFTED_TOO)],
        },
        {"ancestors": [flat, dark], "steps": {"extract_flux": 1}, "processes": [str(MEASURED)]},
    ]


def test_what_failed_says_why_in_one_line(survey: str) -> None:
    (standing,) = answer(survey, "status", "2")["runs"]
    flat, dark = standing["failed"]
    assert flat["process"] == str(FLAT)
    assert flat["reason"] == "MissingInputError: no flat frame in filter r"
    assert (flat["kind"], flat["attempts"], flat["state"]) == ("permanent", 1, "failed")
    assert dark["state"] == "cancelled"


def test_what_runs_says_since_when_and_where(survey: str) -> None:
    (standing,) = answer(survey, "status", "2")["runs"]
    (running,) = standing["running"]
    assert (running["process"], running["step"]) == (str(RUNNING), "master_bias")
    assert running["running_s"] >= 0
    assert 0 < running["lease_left_s"] <= 60
    assert ":" in running["worker"]


def test_the_words_for_people(survey: str) -> None:
    shown = invoke(survey, "status")
    assert "Run 2: light_curves, published" in shown
    assert f"{FLAT}   master_flat" in shown
    assert "MissingInputError: no flat frame in filter r" in shown
    assert f"2 processes (2 × calibrate_align) by master_flat {FLAT} (failed)" in shown
    assert f"by master_flat {FLAT} (failed) and master_dark {DARK} (cancelled)" in shown
    assert "`tianyu run rescue 2`" in shown


def test_a_finished_run_says_so(survey: str) -> None:
    shown = invoke(survey, "status", "1")
    assert "3 of 3 processes done in 9 s, all of them" in shown
    (standing,) = answer(survey, "status", "1")["runs"]
    assert standing["pace"] == {
        "elapsed_s": 9.0,
        # Three in nine seconds.
        "per_minute": 20.0,
        "left_s": None,
        "is_rough": False,
    }


def test_ready_but_nobody_works_is_said(survey: str, tmp_path: Path) -> None:
    url = copy_survey(survey, tmp_path)
    database = Database(url)
    with database.write() as connection:
        operator.rescue(connection, [FLAT, DARK])
        operator.cancel(connection, [RUNNING])
        connection.exec_driver_sql("UPDATE process SET state='ready' WHERE state='running'")
    while database.retry(reconcile):
        pass
    database.dispose()
    shown = invoke(url, "status")
    assert "4 processes are ready, but nothing runs" in shown
    assert "Blocked" not in shown


def test_a_database_without_runs(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "tianyu.sqlite"))
    upgrade(database)
    database.dispose()
    assert "nothing has been published yet" in invoke(str(database), "status")


def test_an_unknown_run_lists_the_known(survey: str) -> None:
    assert "there is no run 9; the newest runs: 2, 1" in invoke(survey, "status", "9", code=2)


def test_watch_ends_when_the_run_has_ended(survey: str) -> None:
    assert "all of them" in invoke(survey, "status", "1", "--watch")


def test_watch_is_for_people(survey: str) -> None:
    assert "one of them" in invoke(survey, "status", "--watch", "--json", code=2)


def test_the_ready_process_is_not_blocked(survey: str) -> None:
    (standing,) = answer(survey, "status", "2")["runs"]
    blocked = {p for group in standing["blocked"] for p in group["processes"]}
    assert str(READY) not in blocked


CHAINED = """Traceback (most recent call last):
  File "x.py", line 3, in f
    g()
ValueError: first

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "x.py", line 5, in f
    h()
    ^^^
KeyError: 'the last one'
"""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "no reason was given"),
        ("", "no reason was given"),
        ("UnusableDataError: no stars\nmore", "UnusableDataError: no stars"),
        (CHAINED, "KeyError: 'the last one'"),
    ],
)
def test_the_reason_is_the_line_that_says_what_happened(text: str | None, reason: str) -> None:
    assert reason_of(text) == reason


def test_time_left_is_the_work_left_over_what_runs_at_once() -> None:
    steps = [
        StepProgress("align", {"succeeded": 4, "running": 2, "ready": 3}),
        StepProgress("extract", {"waiting": 5}),
    ]
    # Align: 3 to do and 2 half done, 10 s each; extract is not timed and taken for average.
    left_s, is_rough = _time_left(steps, {"align": 10.0})
    assert left_s == (4 * 10.0 + 5 * 10.0) / 2
    assert is_rough
    assert _time_left(steps, {"align": 10.0, "extract": 2.0}) == ((40.0 + 10.0) / 2, False)


edges = st.lists(
    st.tuples(st.integers(0, 14), st.integers(1, 15)).filter(lambda e: e[0] < e[1]), max_size=40
)


@given(edges, st.sets(st.integers(0, 14)))
def test_roots_are_the_ends_that_can_be_reached(
    edges: list[tuple[int, int]], ends: set[int]
) -> None:
    """Oracle: a walk upwards from every process, without remembering anything."""
    parents: dict[int, list[int]] = {child: [] for child in range(16) if child not in ends}
    for parent, child in edges:
        if child in parents:
            parents[child].append(parent)

    def reach(process: int) -> frozenset[int]:
        if process in ends:
            return frozenset({process})
        return frozenset().union(*(reach(p) for p in parents[process]))

    roots = _roots(parents, ends)
    assert all(roots[child] == reach(child) for child in parents)


def test_a_chain_longer_than_the_stack_is_followed() -> None:
    n = 20_000
    roots = _roots({i: [i - 1] for i in range(1, n)}, {0})
    assert roots[n - 1] == frozenset({0})
