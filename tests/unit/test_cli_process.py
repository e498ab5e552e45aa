"""``tianyu process`` and ``tianyu run``: looking at work, and changing its course."""

from pathlib import Path

import pytest
from tests.unit.cli_fixtures import (
    ALIGN,
    DARK,
    FLAT,
    FLAT_ERROR,
    MEASURED,
    READY,
    RUNNING,
    SELECT,
    SHIFTED,
    answer,
    build_survey,
    copy_survey,
    invoke,
)


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Only for looking."""
    return build_survey(tmp_path_factory.mktemp("survey"))


@pytest.fixture
def own_survey(survey: str, tmp_path: Path) -> str:
    """For tests that change it."""
    return copy_survey(survey, tmp_path)


def test_show_has_parameters_relatives_and_attempts(survey: str) -> None:
    shown = answer(survey, "process", "show", str(SELECT))
    assert shown["process"] == str(SELECT)
    assert shown["parameters"] == {"name": "select_frames"}
    assert [p["process"] for p in shown["parents"]] == [str(ALIGN)]
    assert [c["step"] for c in shown["children"]] == ["relative_photometry"]
    assert (shown["site"], shown["group"]) == ("mountain", "cpu")
    (attempt,) = shown["attempts"]
    assert attempt["outcome"] == "succeeded"
    assert (attempt["wall_s"], attempt["cpu_s"]) == (3.0, 1.5)
    assert (attempt["bytes_read"], attempt["bytes_written"]) == (12_000_000, 600_000)
    assert attempt["started"] == "2023-11-14T22:13:23+00:00"


def test_show_for_people_keeps_the_whole_error(survey: str) -> None:
    shown = invoke(survey, "process", "show", str(FLAT))
    assert FLAT_ERROR in shown
    assert "calibrate_align  blocked" in shown
    assert "permanent" in shown


def test_ids_are_texts_in_json(survey: str) -> None:
    # 2**53 is about 9e15: as a number this id would come back as another one.
    assert answer(survey, "process", "show", str(MEASURED))["process"] == str(MEASURED)


def test_retry_revives_what_failed(own_survey: str) -> None:
    shown = invoke(own_survey, "process", "retry", str(FLAT))
    assert f"process {FLAT} was failed and is ready now" in shown
    assert answer(own_survey, "process", "show", str(FLAT))["error_text"] is None


@pytest.mark.parametrize(
    ("process", "words"),
    [
        (ALIGN, "is succeeded; what succeeded is never repeated"),
        (SHIFTED, "is blocked; retry the ancestor that failed"),
        (RUNNING, "is running; wait for it, or cancel it first"),
        (READY, "is ready; it starts by itself"),
    ],
)
def test_retry_of_anything_else_says_what_to_do(survey: str, process: int, words: str) -> None:
    assert words in invoke(survey, "process", "retry", str(process), code=2)


def test_cancel_takes_effect_at_once_where_nothing_runs(own_survey: str) -> None:
    shown = answer(own_survey, "process", "cancel", str(READY))
    assert shown == {"process": str(READY), "state": "cancelled"}


def test_cancel_asks_what_runs_to_stop(own_survey: str) -> None:
    assert "is asked to stop" in invoke(own_survey, "process", "cancel", str(RUNNING))
    assert answer(own_survey, "process", "show", str(RUNNING))["cancel_requested"] is True


def test_nothing_to_cancel_in_what_has_ended(survey: str) -> None:
    assert "has ended (failed)" in invoke(survey, "process", "cancel", str(FLAT), code=2)


def test_run_list(survey: str) -> None:
    done, troubled = answer(survey, "run", "list")["runs"]
    assert done["observation"] == "HAT-P-32, r, 2017-12-19"
    assert done["processes"] == {"succeeded": 3}
    assert done["finished"] == "2023-11-14T22:13:29+00:00"
    assert troubled["finished"] is None
    assert "HAT-P-32, r, 2017-12-19" in invoke(survey, "run", "list")


def test_run_show_sums_the_attempts_by_step(survey: str) -> None:
    shown = answer(survey, "run", "show", "1")
    assert shown["cost"]["elapsed_s"] == 9.0
    assert shown["cost"]["n_frames"] == 6
    assert [s["step"] for s in shown["cost"]["steps"]] == [
        "calibrate_align",
        "select_frames",
        "relative_photometry",
    ]
    assert shown["total"] == {
        "step": "total",
        "processes": 3,
        "attempts": 3,
        "unsuccessful": 0,
        "wall_s": 9.0,
        "cpu_s": 4.5,
        "peak_memory_bytes": 200_000_000,
        "bytes_read": 36_000_000,
        "bytes_written": 1_800_000,
    }


def test_run_show_for_people_has_the_costs_per_frame(survey: str) -> None:
    shown = invoke(survey, "run", "show", "1")
    # 3 s over 6 frames; 12 MB over 6 frames.
    assert "500.0 ms" in shown
    assert "2 MB" in shown
    assert "1 (1 in vain)" in invoke(survey, "run", "show", "2")


def test_run_rescue_revives_all_that_ended_badly(own_survey: str) -> None:
    assert "2 processes rescued" in invoke(own_survey, "run", "rescue", "2")
    states = {pid: answer(own_survey, "process", "show", str(pid))["state"] for pid in (FLAT, DARK)}
    assert states == {FLAT: "ready", DARK: "ready"}


def test_run_cancel(own_survey: str) -> None:
    shown = answer(own_survey, "run", "cancel", "2")
    # Three blocked and one ready; one runs.
    assert shown == {"run": 2, "cancelled": 4, "asked_to_stop": 1}


@pytest.mark.parametrize("verb", ["show", "cancel", "rescue"])
def test_an_unknown_run(survey: str, verb: str) -> None:
    assert "there is no run 7" in invoke(survey, "run", verb, "7", code=2)
