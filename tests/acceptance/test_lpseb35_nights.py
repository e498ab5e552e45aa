"""The eclipsing binary of test_lpseb35 with its night cut in two at the eclipse: the halves are
registered one after the other, and one light curve comes of them."""

from pathlib import Path

import numpy as np
import pytest
from tests.acceptance.realdata import real_data
from tests.acceptance.test_lpseb35 import MINIMUM, eclipse
from typer.testing import CliRunner

from tianyu.cli.main import app
from tianyu.schema.database import Database, sqlite_url

pytestmark = [pytest.mark.real_data, pytest.mark.slow]

WHOLE_MINIMUM = 0.0009
WHOLE_AMPLITUDE = 0.336
"""Of the 57 good frames reduced as one night, by the same polynomial: days after MINIMUM, mag."""


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("lpseb35")
    frames = sorted(real_data("lpseb35").glob("*.fz"))
    lights = [frame for frame in frames if frame.name.startswith("LPSEB35_g_")]
    halves = {"n1": [f for f in frames if f not in lights] + lights[:30], "n2": lights[30:]}
    for name, part in halves.items():
        pixel = ["--target-pixel", "505.8,503.1@LPSEB35_g_20250530_034359"] if name == "n1" else []
        answer = CliRunner().invoke(app, [
            "reduce", *map(str, part), "--observation", name, "--out", str(base / "out"),
            "--target", "LPSEB35", "--ra", "240.1833", "--dec", "43.145", *pixel,
            "--site-lat", "32.7803", "--site-lon", "-105.8203", "--site-alt", "2788",
        ])  # fmt: skip
        assert answer.exit_code == 0, answer.output
    assert "one pass" in answer.output
    return base / "out"


def test_two_halves_are_one_light_curve_with_the_eclipse_of_the_whole(joined: Path) -> None:
    database = Database(sqlite_url(joined / "tianyu.sqlite"))
    with database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT bjd_tdb_mid, relative_flux, source_id, observation_id FROM light_curve "
            "WHERE source_name = 'LPSEB35' AND is_default_radius = 1 AND frame_is_good = 1 "
            "ORDER BY bjd_tdb_mid"
        ).fetchall()
    database.dispose()
    table = np.array(rows, dtype=float)
    assert len(table) >= 55
    assert len(set(table[:, 2])) == 1, "one source"
    assert len(set(table[:, 3])) == 2, "two observations"
    magnitude = -2.5 * np.log10(table[:, 1])
    minimum, amplitude, scatter = eclipse(table[:, 0] - MINIMUM, magnitude)
    assert minimum == pytest.approx(WHOLE_MINIMUM, abs=0.0006)
    assert amplitude == pytest.approx(WHOLE_AMPLITUDE, abs=0.02)
    assert scatter < 0.018
