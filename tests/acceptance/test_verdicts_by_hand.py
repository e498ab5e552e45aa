"""Frames rejected and accepted by hand: a run beside the old one, in which only what depends on it
is repeated, and which is the same to the last digit as if everything had been."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from tianyu.cli.main import app
from tianyu.pipelines.simulation import NightPlan, simulate_night
from tianyu.publisher.publishing import publish_again
from tianyu.publisher.verdicts import Saying, Word, record
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.tables import FrameOverride, Run

FIRST = 4
"""The first run on light frames: three runs of masters come before."""
REJECTED = ("light_r_0003", "light_r_0008")
ACCEPTED = "light_r_0011"
CURVES = (
    "SELECT source_id, image_id, radius_pix, x, y, bjd_tdb_mid, is_default_radius, flux, "
    "flux_error, relative_flux, relative_flux_error, flags, is_reference, frame_is_good "
    "FROM light_curve ORDER BY source_id, image_id, radius_pix"
)


def tianyu(*arguments: str | Path) -> str:
    answer = CliRunner().invoke(app, [str(a) for a in arguments])
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def refusal(*arguments: str | Path) -> str:
    answer = CliRunner().invoke(app, [str(a) for a in arguments])
    assert answer.exit_code != 0, answer.output
    return " ".join(answer.output.split())


def rows(out: Path, query: str) -> list[tuple[Any, ...]]:
    database = Database(sqlite_url(out / "tianyu.sqlite"))
    with database.read() as connection:
        found = [tuple(row) for row in connection.exec_driver_sql(query)]
    database.dispose()
    return found


def frames_of(out: Path, *options: str) -> dict[str, dict[str, Any]]:
    answer = json.loads(tianyu("frames", "--out", out, "--json", *options))
    return {Path(frame["name"]).stem: frame for frame in answer["frames"]}


def reduce(frames: Path, out: Path) -> str:
    return tianyu("reduce", frames, "--out", out, "--chunk", "4", "--workers", "2")


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night") / "frames"
    folder.mkdir()
    simulate_night(NightPlan.small(), folder)
    return folder


@pytest.fixture(scope="module")
def before(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The night reduced as the tests judge it; to be copied, not changed."""
    out = tmp_path_factory.mktemp("reduced") / "out"
    reduce(frames, out)
    return out


@pytest.fixture(scope="module")
def after(before: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The same with two frames rejected and one accepted, and what the command answered."""
    out = tmp_path_factory.mktemp("judged") / "out"
    shutil.copytree(before, out)
    said = [Saying(Word.ACCEPT, (ACCEPTED.upper() + ".fits",), "thin cloud")]
    say(out, said)
    answer = tianyu(
        "frames", "--out", out, "--reject", *REJECTED, "--reason", "a satellite", "--json"
    )
    return out, json.loads(answer)


def say(out: Path, sayings: list[Saying]) -> None:
    """Store verdicts without publishing anything."""
    database = Database(sqlite_url(out / "tianyu.sqlite"))
    database.retry(lambda connection: record(connection, FIRST, sayings, "ann"))
    database.dispose()


def test_only_what_depends_on_the_verdicts_is_repeated(after: tuple[Path, dict[str, Any]]) -> None:
    """Worked by hand: a reference and three chunks stay; 12 of 16 and the take-over follow."""
    out, answer = after
    assert (answer["n_changed"], answer["was"], answer["run"]) == (2, FIRST, FIRST + 1)
    assert (answer["n_reused"], answer["reused_run"], answer["n_processes"]) == (4, FIRST, 13)
    assert answer["is_current"]
    commands = dict(rows(out, (
        "SELECT command, COUNT(*) FROM process WHERE run_id = 5 GROUP BY command"
    )))  # fmt: skip
    assert commands == {
        "adopt_measurements": 1, "select_frames": 1, "stack_frames": 1, "solve_field": 1,
        "detect_sources": 1, "match_catalogue": 1, "fixed_pattern": 1, "extract_flux": 3,
        "relative_photometry": 1, "calibrate_magnitudes": 1, "diagnostics": 1,
    }  # fmt: skip
    assert rows(out, "SELECT COUNT(*) FROM process WHERE state <> 'succeeded'") == [(0,)]


def test_the_result_is_that_of_a_fresh_run_to_the_last_digit(
    frames: Path, before: Path, after: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(before, out)
    say(out, [Saying(Word.REJECT, REJECTED, "other words"), Saying(Word.ACCEPT, (ACCEPTED,))])
    database = Database(sqlite_url(out / "tianyu.sqlite"))
    fresh = publish_again(database, FIRST, is_fresh=True)
    database.dispose()
    assert (fresh.n_processes, fresh.n_reused) == (16, 0)
    # Publishes the same run, since verdicts outlive it, and so continues this one.
    reduce(frames, out)
    expected = rows(out, CURVES)
    assert len(expected) > 1000
    assert rows(after[0], CURVES) == expected
    assert rows(before, CURVES) != expected
    keys = "SELECT run_key FROM run WHERE id = 5"
    assert rows(after[0], keys) == rows(out, keys)


def test_the_frames_say_who_why_and_by_how_much(after: tuple[Path, dict[str, Any]]) -> None:
    out, _ = after
    frames = frames_of(out)
    for name in REJECTED:
        assert not frames[name]["is_good"]
        assert frames[name]["reason"].startswith("rejected by hand by ")
        assert frames[name]["reason"].endswith(": a satellite")
    assert frames["light_r_0012"]["reason"] == "transparency 0.36, below 0.50"
    assert sum(frame["is_good"] for frame in frames.values()) == 9
    # The old run stays as it was, and knows that more has been said since.
    old = frames_of(out, "--run", str(FIRST))
    assert old[REJECTED[0]]["is_good"]
    assert "a satellite" in old[REJECTED[0]]["said"]


def test_verdicts_are_kept_with_their_author_and_survive_other_parameters(
    after: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(after[0], out)
    url = sqlite_url(out / "tianyu.sqlite")
    tianyu("publish", "4", "--database", url, "--site", "local", "--chunk", "4",
           "--set", "select_frames.min_transparency=0.2")  # fmt: skip
    database = Database(url)
    with database.read() as connection:
        kept = connection.execute(select(FrameOverride.__table__)).all()
        parameters = connection.scalars(select(Run.parameters).order_by(Run.id)).all()
    database.dispose()
    assert [(row.verdict, row.reason) for row in kept] == [
        ("accept", "thin cloud"), *[("reject", "a satellite")] * 2
    ]  # fmt: skip
    assert all(row.author and row.created_us > 0 for row in kept)
    assert "verdicts" not in parameters[FIRST - 1]
    assert [good for _, good in parameters[-1]["verdicts"]].count(False) == 2
    assert parameters[-1]["verdicts"] == parameters[FIRST]["verdicts"]


def test_taken_back_the_first_run_is_shown_again(
    before: Path, after: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(after[0], out)
    answer = json.loads(tianyu("frames", "--out", out, "--reset", *REJECTED, ACCEPTED, "--json"))
    assert (answer["run"], answer["is_new"], answer["is_current"]) == (FIRST, False, True)
    assert rows(out, CURVES) == rows(before, CURVES)
    assert all(frame["said"] is None for frame in frames_of(out).values())


def test_an_accepted_frame_is_used_and_says_against_what(
    after: tuple[Path, dict[str, Any]],
) -> None:
    out, _ = after
    frame = frames_of(out)[ACCEPTED]
    assert frame["is_good"]
    assert frame["reason"].endswith(": thin cloud, against: transparency 0.35, below 0.50")
    # Of twelve frames two are rejected by hand, and one of two cloudy ones is accepted.
    assert rows(out, "SELECT MAX(n_frames) FROM stack WHERE run_id = 5") == [(9,)]


def test_runs_that_others_use_are_not_purged(
    after: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(after[0], out)
    arguments = ["--database", sqlite_url(out / "tianyu.sqlite"), "--site", "local"]
    said = refusal("run", "purge", str(FIRST), *arguments)
    assert f"run {FIRST + 1} uses 4 processes of run {FIRST}" in said
    assert list(out.glob(f"runs/{FIRST:06}/calibrate_align/*"))


def test_the_run_that_is_shown_can_be_chosen(
    before: Path, after: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(after[0], out)
    where = ["--database", sqlite_url(out / "tianyu.sqlite")]
    assert f"before it was run {FIRST + 1}" in tianyu("run", "use", str(FIRST), *where)
    assert rows(out, CURVES) == rows(before, CURVES)
    listed = json.loads(tianyu("run", "list", "--json", *where))["runs"]
    assert [run["run"] for run in listed if run["is_current"]] == [FIRST]
    assert "is the current one already" in tianyu("run", "use", str(FIRST), *where)
    assert "has no light curves" in refusal("run", "use", "1", *where)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--reject", "light_r_0099"], "has no frame 'light_r_0099'"),
        (["--reject", "light_r_0001", "--accept", "light_r_0001"], "two verdicts on"),
        (["light_r_0001"], "what is to become of 'light_r_0001'?"),
        (["--reason", "a satellite"], "add --reject or --accept"),
        (["--reject", "light_r_0001", "--run", "1"], "run 1 judges no light frames"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_stored(
    before: Path, options: list[str], text: str
) -> None:
    assert text in refusal("frames", "--out", before, *options)
    assert rows(before, "SELECT COUNT(*) FROM frame_override") == [(0,)]
    assert rows(before, "SELECT MAX(id) FROM run") == [(FIRST,)]
