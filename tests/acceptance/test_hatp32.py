"""A transit of HAT-P-32 b from 142 real frames, through the commands that people type."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.acceptance.realdata import real_data
from typer.testing import CliRunner

from tianyu.cli.main import app
from tianyu.pipelines.science.boxsearch import rank_events
from tianyu.pipelines.science.trapezoid import fit_trapezoid
from tianyu.schema.database import Database

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

START = 2458107.0
EPHEMERIS_MID = 2458107.7113


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = real_data("hatp32")
    out = tmp_path_factory.mktemp("hatp32")
    answer = CliRunner().invoke(app, [
        "reduce", str(frames), "--out", str(out), "--target", "HAT-P-32",
        "--target-pixel", "328.5,337.6@HATP-32171220041512",
        "--ra", "31.042825", "--dec", "46.687837",
        "--site-lat", "31.68", "--site-lon", "-110.88", "--site-alt", "2000",
    ])  # fmt: skip
    assert answer.exit_code == 0, answer.output
    return out


@pytest.fixture(scope="module")
def curve(night: Path) -> dict[str, np.ndarray]:
    exported = night / "lc.csv"
    answer = CliRunner().invoke(app, [
        "lightcurve", "--database", f"sqlite:///{night / 'tianyu.sqlite'}",
        "--target", "HAT-P-32", "--export", str(exported),
    ])  # fmt: skip
    assert answer.exit_code == 0, answer.output
    with exported.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("bjd_tdb_mid", "relative_flux", "relative_flux_error", "flags", "frame_is_good")
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}


def test_nearly_every_epoch_is_measured(curve: dict[str, np.ndarray]) -> None:
    assert np.isfinite(curve["relative_flux"]).sum() >= 138


def test_the_transit_is_there_when_and_as_deep_as_published(curve: dict[str, np.ndarray]) -> None:
    good = curve["frame_is_good"] == 1
    fit = fit_trapezoid(
        curve["bjd_tdb_mid"][good] - START,
        curve["relative_flux"][good],
        curve["relative_flux_error"][good],
        clip_sigma=5.0,
    )
    assert 0.021 <= fit.depth <= 0.029
    assert START + fit.mid_time == pytest.approx(2458107.7125, abs=0.004)
    assert START + fit.mid_time == pytest.approx(EPHEMERIS_MID, abs=0.0025)
    assert fit.residual_scatter <= 0.0060


def test_a_blind_search_finds_the_target_first_or_second(night: Path) -> None:
    """All light curves of the night; an eclipsing binary is in the field too."""
    database = Database(f"sqlite:///{night / 'tianyu.sqlite'}")
    with database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT source_id, image_id, bjd_tdb_mid, relative_flux, source_name FROM light_curve "
            "WHERE is_default_radius = 1 AND relative_flux IS NOT NULL "
            "ORDER BY source_id, jd_utc_mid"
        ).fetchall()
    database.dispose()
    source = np.array([row[0] for row in rows])
    ids, index = np.unique(source, return_inverse=True)
    frames, frame = np.unique([row[1] for row in rows], return_inverse=True)
    flux, time = np.full((len(ids), len(frames)), np.nan), np.full(len(frames), np.nan)
    flux[index, frame] = [row[3] for row in rows]
    time[frame] = [row[2] for row in rows]
    order = np.argsort(time)
    good = np.ones(len(frames), dtype=bool)
    ranked = rank_events(time[order] - START, flux[:, order], good, n_event=2)
    names = {row[0]: row[4] for row in rows}
    assert "HAT-P-32" in [names[ids[event.source]] for event in ranked]


def test_again_on_the_same_folder_does_nothing(night: Path) -> None:
    database = Database(f"sqlite:///{night / 'tianyu.sqlite'}")
    count = "SELECT (SELECT COUNT(*) FROM process), (SELECT COUNT(*) FROM attempt)"
    with database.read() as connection:
        before = connection.exec_driver_sql(count).one()
    answer = CliRunner().invoke(app, [
        "reduce", str(real_data("hatp32")), "--out", str(night), "--target", "HAT-P-32",
        "--target-pixel", "328.5,337.6@HATP-32171220041512",
        "--ra", "31.042825", "--dec", "46.687837",
        "--site-lat", "31.68", "--site-lon", "-110.88", "--site-alt", "2000",
    ])  # fmt: skip
    assert answer.exit_code == 0, answer.output
    with database.read() as connection:
        assert connection.exec_driver_sql(count).one() == before
    database.dispose()


def analysed(night: Path, *arguments: str) -> dict[str, Any]:
    url = f"sqlite:///{night / 'tianyu.sqlite'}"
    answer = CliRunner().invoke(app, ["analyse", "--database", url, "--json", *arguments])
    assert answer.exit_code == 0, answer.output + repr(answer.exception)
    return dict(json.loads(answer.output))


def test_both_transit_models_find_the_ephemeris_beside_the_published_curve(night: Path) -> None:
    published = real_data("hatp32").parent / "hatp32_published_lightcurve.json"
    found = analysed(night, "--target", "HAT-P-32", "--compare", str(published))
    ours = found["limb_darkened"]["tianyu"]
    theirs = found["limb_darkened"]["hatp32_published_lightcurve"]
    for of in (ours, found["quartic"]):
        assert of["mid_time"]["value"] == pytest.approx(EPHEMERIS_MID, abs=0.0012)
    assert 0.022 < ours["area_ratio"]["value"] < 0.0275
    assert ours["residual_scatter"] < theirs["residual_scatter"]
    assert found["quartic"]["ln_bayes_factor"] > 50


def test_target_and_eclipsing_binary_are_among_the_first_candidates(night: Path) -> None:
    """The binary is 93 px above and 1 px left of the target, as in the frames."""
    found = analysed(night, "--candidates", "6")["candidates"]
    target = next(c for c in found if c["name"] == "HAT-P-32")
    beside = [(c["x"] - target["x"] + 1.2, c["y"] - target["y"] - 93.3) for c in found]
    assert min(np.hypot(*offset) for offset in beside) < 2.0
    assert target["event_false_alarm"] < 0.05
