"""One night registered as two: the second is measured at the template of the first, in one pass,
and the light curves join under one id."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from tianyu.cli.main import app
from tianyu.pipelines.simulation import NightPlan, simulate_night
from tianyu.schema.database import Database, sqlite_url
from tianyu.schema.tables import Attempt, Image, ImageCopy, Process

FIRST, SECOND = 4, 5
"""Runs of the two halves, after three of masters."""
LIGHT_FRAMES = 6
"""In each half."""
CURVES = (
    "SELECT p.ra_deg, p.dec_deg, l.jd_utc_mid, l.relative_flux, l.source_id, l.run_id "
    "FROM light_curve AS l JOIN source_position AS p ON p.source_id = l.source_id "
    "JOIN reduction AS d ON d.run_id = l.run_id AND d.template_image_id = p.template_image_id "
    "WHERE l.is_default_radius = 1 AND l.frame_is_good = 1 AND l.relative_flux IS NOT NULL "
    "AND p.snr > 100 ORDER BY l.source_id, l.jd_utc_mid"
)


def tianyu(*arguments: str | Path) -> str:
    answer = CliRunner().invoke(app, [str(a) for a in arguments])
    assert answer.exit_code == 0, answer.output
    return answer.output


def reduce(frames: Path, out: Path, *options: str) -> str:
    return tianyu("reduce", frames, "--out", out, "--workers", "2", "--chunk", "3", *options)


def rows(out: Path, query: str) -> list[tuple[Any, ...]]:
    database = Database(sqlite_url(out / "tianyu.sqlite"))
    with database.read() as connection:
        found = [tuple(row) for row in connection.exec_driver_sql(query)]
    database.dispose()
    return found


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night") / "frames"
    folder.mkdir()
    simulate_night(NightPlan.small(), folder)
    return folder


@pytest.fixture(scope="module")
def joined(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Both halves reduced one after the other, and what the second command said."""
    base = tmp_path_factory.mktemp("halves")
    for name, wanted in (("first", range(1, 7)), ("second", range(7, 13))):
        (base / name).mkdir()
        for number in wanted:
            shutil.copy(frames / f"light_r_{number:04}.fits", base / name)
    for calibration in frames.glob("*.fits"):
        if not calibration.name.startswith("light"):
            shutil.copy(calibration, base / "first")
    out = base / "out"
    reduce(base / "first", out, "--observation", "first half")
    return out, reduce(base / "second", out, "--observation", "second half")


def test_the_second_half_is_measured_in_one_pass_and_says_so(joined: tuple[Path, str]) -> None:
    out, said = joined
    note = "one pass: measured at the sources of the template of observation 'first half' (run 4)"
    assert note in " ".join(said.split())
    where = ["--database", sqlite_url(out / "tianyu.sqlite")]
    for command in (["status", str(SECOND)], ["run", "show", str(SECOND)]):
        assert note in " ".join(tianyu(*command, *where).split())
    commands = dict(rows(out, (
        "SELECT command, COUNT(*) FROM process WHERE run_id = 5 GROUP BY command"
    )))  # fmt: skip
    assert commands == {
        "adopt_template": 1, "measure_frames": 2, "select_frames": 1, "relative_photometry": 1,
        "calibrate_magnitudes": 1, "diagnostics": 1,
    }  # fmt: skip


def test_raw_frames_are_read_once(joined: tuple[Path, str]) -> None:
    """Bytes read: every light frame once, and the masters once per child at most."""
    out, _ = joined
    database = Database(sqlite_url(out / "tianyu.sqlite"))
    with database.read() as connection:
        raw = connection.scalar(
            select(func.sum(ImageCopy.size_bytes))
            .join(Image, Image.id == ImageCopy.image_id)
            .where(Image.observation_id == SECOND, Image.birth.is_(None))
        )
        read = connection.scalar(
            select(func.sum(Attempt.bytes_read))
            .join(Process, Process.id == Attempt.process_id)
            .where(Process.run_id == SECOND)
        )
        masters = connection.scalar(
            select(func.sum(ImageCopy.size_bytes))
            .join(Image, Image.id == ImageCopy.image_id)
            .where(Image.kind.in_(["master_bias", "master_dark", "master_flat"]))
        )
    database.dispose()
    n_children = 2
    assert raw <= read <= raw + n_children * masters


def test_the_halves_join_under_one_id_on_one_scale(
    joined: tuple[Path, str], frames: Path, tmp_path: Path
) -> None:
    """Against the whole night: one constant factor per star, no step between the halves."""
    reduce(frames, tmp_path / "whole")
    whole = np.array(rows(tmp_path / "whole", CURVES), dtype=float)
    split = np.array(rows(joined[0], CURVES), dtype=float)
    steps = []
    for source in np.unique(split[:, 4]):
        curve = split[split[:, 4] == source]
        if set(curve[:, 5]) != {FIRST, SECOND}:
            continue
        distance = np.hypot(*(whole[:, :2] - curve[0, :2]).T) * 3600
        same = whole[distance < 0.6]
        common = np.isin(same[:, 2].round(6), curve[:, 2].round(6))
        times = np.isin(curve[:, 2].round(6), same[:, 2].round(6))
        if not common.any():
            continue
        ratio, run = curve[times, 3] / same[common, 3], curve[times, 5]
        steps.append(np.median(ratio[run == SECOND]) / np.median(ratio[run == FIRST]) - 1.0)
    assert len(steps) >= 10
    # In one pass the fixed pattern stays in the second half.
    assert np.median(np.abs(steps)) < 0.006


def test_in_one_pass_a_verdict_repeats_no_measurement(
    joined: tuple[Path, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(joined[0], out)
    answer = CliRunner().invoke(app, [
        "frames", "--out", str(out), "--observation", "second half", "--reject", "light_r_0008",
        "--json",
    ])  # fmt: skip
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    # The template and two chunks stay; taking over, selection, comparison, magnitudes, diagnostics.
    assert (found["n_reused"], found["n_processes"]) == (3, 5)
    assert found["is_current"]
    query = "SELECT COUNT(*), SUM(frame_is_good) FROM light_curve WHERE run_id = {} "
    before = rows(out, query.format(SECOND).replace("light_curve", "light_curve_all"))[0]
    after = rows(out, query.format(found["run"]))[0]
    assert after[0] == before[0]
    assert after[1] == before[1] * 3 / 4


def test_a_template_of_its_own_can_be_asked_for_and_is_kept_to(
    joined: tuple[Path, str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(joined[0], out)
    where = ["--database", sqlite_url(out / "tianyu.sqlite"), "--site", "local"]
    assert "of recipe light_curves" in tianyu(
        "publish", "second half", "--recipe", "light_curves", *where
    )
    assert "is this reduction already" in tianyu("publish", "second half", *where)
