"""``tianyu frames``, ``sources``, ``steps`` and ``config``."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field
from tests.unit.cli_fixtures import answer, build_survey, invoke

from tianyu.cli.queries import steps as step_queries
from tianyu.cli.queries.steps import StepParameter, type_text
from tianyu.pipelines.step import StepParameters


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_survey(tmp_path_factory.mktemp("survey"))


def test_frames_have_the_displacement_of_their_centre(survey: str) -> None:
    shown = answer(survey, "frames")
    assert shown["observation"] == "HAT-P-32, r, 2017-12-19"
    first = shown["frames"][0]
    # A quarter turn about the centre leaves it where it is; then it moved by (3, -2).
    assert (first["shift_x_pix"], first["shift_y_pix"]) == (3.0, -2.0)
    assert first["rotation_deg"] == pytest.approx(90.0)
    assert first["utc_mid"] == "2017-12-20T04:00:00"


def test_frames_say_why_they_were_rejected(survey: str) -> None:
    verdicts = [
        (f["is_good"], f["reason"]) for f in answer(survey, "frames", "--run", "1")["frames"]
    ]
    assert verdicts[4] == (False, "transparency 0.40 is below 0.50")
    assert verdicts.count((True, None)) == 5
    shown = invoke(survey, "frames")
    assert "transparency 0.40 is below 0.50" in shown
    assert "6 frames of HAT-P-32, r, 2017-12-19, 5 of them good" in shown


def test_frames_as_a_picture(survey: str, tmp_path: Path) -> None:
    path = tmp_path / "night.png"
    assert "6 frames" in invoke(survey, "frames", "--plot", str(path))
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_run_without_frames(survey: str) -> None:
    assert "run 2 has measured no frame" in invoke(survey, "frames", "--run", "2", code=2)


@pytest.mark.parametrize(
    ("order", "ids"), [("brightness", [2, 1]), ("scatter", [2, 1]), ("excess", [1, 2])]
)
def test_sources_in_every_order(survey: str, order: str, ids: list[int]) -> None:
    sources = answer(survey, "sources", "--sort", order)["sources"]
    assert [s["source_id"] for s in sources] == ids


def test_sources_for_people(survey: str) -> None:
    shown = invoke(survey, "sources", "--limit", "1", "--sort", "excess")
    assert "HAT-P-32" in shown
    assert "2.00 %" in shown
    assert "9000" not in shown


def test_sources_of_a_run_without_photometry(survey: str) -> None:
    assert "no relative photometry" in invoke(survey, "sources", "--run", "2", code=2)


class Camera(StepParameters):
    """A nested model."""

    gain: float = Field(1.5, gt=0, description="electrons per ADU")


class Example(StepParameters):
    """Parameters of every kind."""

    frames: tuple[int, ...]
    mode: Literal["fast", "exact"] = "fast"
    camera: Camera = Camera()
    limit: float | None = Field(None, ge=0, le=1)


def test_parameters_of_a_step_with_nested_models() -> None:
    assert list(step_queries._parameters(Example, "")) == [
        StepParameter("frames", "list of int", None, "", ""),
        StepParameter("mode", "'fast' or 'exact'", "'fast'", "", ""),
        StepParameter("camera", "Camera", "its defaults", "", ""),
        StepParameter("camera.gain", "float", "1.5", "> 0", "electrons per ADU"),
        StepParameter("limit", "float or none", "none", "≥ 0, ≤ 1", ""),
    ]


def test_types_as_people_write_them() -> None:
    assert type_text(tuple[float, float]) == "(float, float)"
    assert type_text(list[str]) == "list of str"


def test_steps_lists_what_is_registered(survey: str) -> None:
    by_name = {s["name"]: s for s in answer(survey, "steps")["steps"]}
    assert by_name["select_frames"]["reads"] == ["frame"]
    assert by_name["select_frames"]["writes"] == ["frame_verdict"]
    assert "select_frames" in invoke(survey, "steps")


def test_steps_shows_the_parameters_of_one(survey: str) -> None:
    shown = answer(survey, "steps", "select_frames")
    names = {p["name"]: p for p in shown["parameters"]}
    assert names["star_count_sigma"]["type"] == "float"
    assert names["star_count_sigma"]["limits"] == "> 0"
    assert "star_count_sigma" in invoke(survey, "steps", "select_frames")


def test_an_unknown_step_lists_the_known(survey: str) -> None:
    shown = invoke(survey, "steps", "selct", code=2)
    assert "error: there is no step 'selct'; known steps:" in shown
    assert "select_frames" in shown


def config_of(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: str, **env: str
) -> dict[str, tuple[object, str]]:
    monkeypatch.chdir(folder)
    url = env.pop("url", "mysql+pymysql://tianyu:secret@db/night")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    shown = answer(url, "config", *arguments)["settings"]
    return {s["name"]: (s["value"], s["source"]) for s in shown}


def test_config_hides_passwords_and_names_the_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tianyu.toml").write_text('site = "mountain"\npoll_s = 2.0\n', encoding="utf-8")
    shown = config_of(monkeypatch, tmp_path, TIANYU_POLL_S="3")
    assert shown["database_url"] == (
        "mysql+pymysql://tianyu:***@db/night",
        "environment TIANYU_DATABASE_URL",
    )
    assert shown["site"] == ("mountain", "file tianyu.toml")
    assert shown["poll_s"] == (3.0, "environment TIANYU_POLL_S")
    assert shown["lease_s"] == (60.0, "default")


def test_config_with_an_argument(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = config_of(monkeypatch, tmp_path, "--database", "sqlite:///other.sqlite")
    assert shown["database_url"] == ("sqlite:///other.sqlite", "argument")


def test_config_for_people(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    shown = invoke("mysql+pymysql://tianyu:secret@db/night", "config")
    assert "secret" not in shown
    assert "There is no file tianyu.toml." in shown


def test_a_setting_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    shown = invoke("sqlite:///x", "config", code=2, TIANYU_LEASE_S="soon")
    assert "error: these settings cannot be used" in shown
    assert "lease_s" in shown
