"""An eclipsing binary through cloud, with bias, dark and flat frames: 75 real files."""

import csv
from pathlib import Path

import numpy as np
import pytest
from tests.acceptance.realdata import real_data
from typer.testing import CliRunner

from tianyu.cli.main import app
from tianyu.schema.database import Database

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

MINIMUM = 2460825.7090
"""BJD_TDB of mid-eclipse, ± 0.0006, measured from the full night."""


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = real_data("lpseb35")
    out = tmp_path_factory.mktemp("lpseb35")
    answer = CliRunner().invoke(app, [
        "reduce", str(frames), "--out", str(out), "--target", "LPSEB35",
        "--target-pixel", "505.8,503.1@LPSEB35_g_20250530_034359",
        "--ra", "240.1833", "--dec", "43.145",
        "--site-lat", "32.7803", "--site-lon", "-105.8203", "--site-alt", "2788",
    ])  # fmt: skip
    assert answer.exit_code == 0, answer.output
    assert "transparency 0.35, below 0.50" in answer.output
    return out


def eclipse(time: np.ndarray, magnitude: np.ndarray) -> tuple[float, float, float]:
    """Return time of minimum, amplitude and scatter from a polynomial of order 8."""
    polynomial = np.polynomial.Polynomial.fit(time, magnitude, 8)
    grid = np.linspace(time.min() + 0.02, time.max() - 0.02, 5000)
    curve = polynomial(grid)
    scatter = float(np.std(magnitude - polynomial(time)))
    return float(grid[curve.argmax()]), float(curve.max() - np.percentile(curve, 2)), scatter


def test_the_eclipse_is_there_when_and_as_deep_as_it_should_be(night: Path) -> None:
    exported = night / "lc.csv"
    answer = CliRunner().invoke(app, [
        "lightcurve", "--database", f"sqlite:///{night / 'tianyu.sqlite'}",
        "--target", "LPSEB35", "--export", str(exported),
    ])  # fmt: skip
    assert answer.exit_code == 0, answer.output
    with exported.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["frame_is_good"] == "1"]
    assert len(rows) >= 55
    time = np.array([float(row["bjd_tdb_mid"]) for row in rows]) - MINIMUM
    magnitude = -2.5 * np.log10([float(row["relative_flux"]) for row in rows])
    minimum, amplitude, scatter = eclipse(time, magnitude)
    assert abs(minimum) < 0.002
    assert amplitude == pytest.approx(0.38, abs=0.06)
    assert scatter < 0.018


def test_masters_are_used_and_the_flat_is_known_for_a_dome_flat(night: Path) -> None:
    database = Database(f"sqlite:///{night / 'tianyu.sqlite'}")
    with database.read() as connection:
        kinds = dict(connection.exec_driver_sql(
            "SELECT kind, header FROM image WHERE kind LIKE 'master%'"
        ).fetchall())  # fmt: skip
    database.dispose()
    assert set(kinds) == {"master_bias", "master_dark", "master_flat"}
    assert "weighted_mean" in str(kinds["master_flat"])
