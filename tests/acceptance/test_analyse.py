"""``tianyu analyse`` and ``tianyu inject`` on a small simulated night, as people type them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from typer.testing import CliRunner

from tianyu.cli.main import app
from tianyu.pipelines.simulation import NightPlan, NightTruth, SignalPlan, Weather, simulate_night

pytestmark = pytest.mark.slow

SIGNALS = SignalPlan(transit_mag=12.5, transit_depth=0.03, pulsation_mag=13.0, eclipse_mag=13.3)
PLAN = NightPlan(
    seed=4, n_light=48, n_bias=3, n_dark=3, n_flat=5, width=300, height=300, exposure_s=60.0,
    cadence_s=200.0, n_stars=90, signals=SIGNALS, weather=Weather(n_cloudy=0),
)  # fmt: skip


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NightTruth]:
    folder = tmp_path_factory.mktemp("analysed")
    truth = simulate_night(PLAN, folder / "frames")
    run("reduce", str(folder / "frames"), "--out", str(folder), "--workers", "1")
    return folder, truth


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


def answer(folder: Path, *arguments: str) -> Any:
    url = f"sqlite:///{folder / 'tianyu.sqlite'}"
    output = run(*arguments, "--database", url, "--json")
    return json.loads(output[output.index("{") :])


def place(truth: NightTruth, star: int) -> str:
    return f"{truth.stars.ra_deg[star]},{truth.stars.dec_deg[star]}"


def test_the_transit_is_measured_and_drawn(night: tuple[Path, NightTruth], tmp_path: Path) -> None:
    folder, truth = night
    found = answer(
        folder, "analyse", "--at", place(truth, truth.transit.star), "--out", str(tmp_path),
        "--max-steps", "2000", "--limb-darkening", "0.0,0.0",
    )  # fmt: skip
    disc, quartic = found["limb_darkened"]["tianyu"], found["quartic"]
    for of in (disc, quartic):
        mid = of["mid_time"]
        assert abs(mid["value"] - truth.transit.mid_bjd_tdb) < 4 * max(mid["plus"], mid["minus"])
    assert disc["depth"]["value"] == pytest.approx(0.03, abs=0.003)
    assert quartic["ln_bayes_factor"] > 10
    drawn = ("transit.png", "corner.png", "quartic.png", "quartic_corner.png")
    assert all((tmp_path / name).stat().st_size > 10_000 for name in drawn)
    detrended = Table.read(tmp_path / "detrended.ecsv")
    outside = np.abs(detrended["model"] - 1.0) < 1e-9
    assert np.median(detrended["flux"][outside]) == pytest.approx(1.0, abs=0.002)


def test_the_injected_variables_lead(night: tuple[Path, NightTruth], tmp_path: Path) -> None:
    folder, truth = night
    found = answer(folder, "analyse", "--candidates", "6", "--out", str(tmp_path))
    places = np.array([[c["ra_deg"], c["dec_deg"]] for c in found["candidates"]])
    for signal in truth.signals:
        there = truth.stars.ra_deg[signal.star], truth.stars.dec_deg[signal.star]
        distance = 3600 * np.hypot(*(places - there).T)
        assert distance.min() < 1.5, signal.kind
    assert (tmp_path / "candidates.pdf").is_file()
    assert len(Table.read(tmp_path / "variability.ecsv")) == found["n_source"]


def test_precision_is_near_theory(night: tuple[Path, NightTruth], tmp_path: Path) -> None:
    folder, _ = night
    found = answer(folder, "analyse", "--precision", "--out", str(tmp_path))
    assert found["missing"] == []
    assert all(0.8 < of["ratio"] < 1.25 for of in found["classes"])
    assert found["classes"][0]["cdpp"] < found["classes"][2]["cdpp"]


def test_what_is_injected_is_recovered(night: tuple[Path, NightTruth], tmp_path: Path) -> None:
    folder, _ = night
    found = answer(
        folder, "inject", "--out", str(tmp_path), "--depths", "0.2", "--durations", "0.7",
        "--stars", "6", "--kind", "eclipse", "--workers", "1", "--keep", "--max-scatter", "0.05",
    )  # fmt: skip
    events = found["events"]
    assert len(events) >= 2
    assert all(event["has_curve"] for event in events)
    recovered = [event for event in events if event["is_recovered"]]
    assert len(recovered) >= len(events) - 1
    bias = np.median([event["measured_size"] / event["size"] - 1.0 for event in recovered])
    assert abs(bias) < 0.08  # six eclipses with errors of 10 to 15 % each: 5 % of their median
    frames = sorted((tmp_path / "round_1" / "frames").glob("*.fits"))
    assert len(frames) == 48 + 11
    light = [f for f in frames if "HISTORY" in fits.getheader(f)]
    assert len(light) == 48


def test_one_question_at_a_time(night: tuple[Path, NightTruth]) -> None:
    result = CliRunner().invoke(app, ["analyse", "--precision", "--candidates", "3"])
    assert result.exit_code == 2
    assert "exactly one" in result.output
