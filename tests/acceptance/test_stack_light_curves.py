"""Light curves on stacks of a simulated night: beside those of frames, however it is cut up."""

from pathlib import Path

import numpy as np
import pytest
from tests.unit.cli_fixtures import answer, invoke

from tianyu.pipelines.simulation import NightPlan, simulate_night
from tianyu.schema.database import Database

STACKS = (
    "SELECT source_id, time_scale, jd_utc_mid, bjd_tdb_mid, radius_pix, flux, flux_error, "
    "relative_flux, relative_flux_error, flags, n_frames, exposure_s FROM stack_light_curve "
    "ORDER BY source_id, time_scale, jd_utc_mid, radius_pix"
)
FRAMES = "SELECT * FROM light_curve ORDER BY source_id, image_id, radius_pix"


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def test_stacks_stand_beside_frames_and_do_not_depend_on_chunks(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    simulate_night(NightPlan.small(), frames)
    databases = {}
    for chunk, workers, scales in ((64, 1, "4,7min"), (3, 2, "4,7min"), (64, 1, "")):
        out = tmp_path / f"{chunk}-{scales}"
        wanted = ["--stack-light-curves", scales] if scales else []
        url = f"sqlite:///{out / 'tianyu.sqlite'}"
        invoke(
            url, "reduce", str(frames), "--out", str(out), "--chunk", str(chunk),
            "--workers", str(workers), *wanted,
        )  # fmt: skip
        databases[chunk, scales] = Database(url)
    whole, cut, plain = databases.values()
    expected = rows(whole, STACKS)
    assert len(expected) > 200
    assert rows(cut, STACKS) == expected
    assert rows(plain, STACKS) == [], "off unless asked for"
    assert rows(whole, FRAMES) == rows(plain, FRAMES), "and nothing of the frames changes"

    # Ten good frames: 4, 4 and 2, each once; the flux is their mean, but for light that the
    # aperture loses by the half pixel of a whole-pixel shift.
    url = str(whole.url)
    source = rows(whole, "SELECT source_id FROM source_photometry ORDER BY mean_flux DESC LIMIT 1")
    curve = answer(url, "lightcurve", "--source", str(source[0][0]), "--time-scale", "4")["points"]
    singles = [
        p
        for p in answer(url, "lightcurve", "--source", str(source[0][0]))["points"]
        if p["frame_is_good"]
    ]
    assert sum(p["n_frames"] for p in curve) == len(singles)
    start = 0
    for point in curve:
        group = singles[start : start + point["n_frames"]]
        start += point["n_frames"]
        for name in ("jd_utc_mid", "bjd_tdb_mid"):
            assert point[name] == pytest.approx(np.mean([p[name] for p in group]), abs=1e-8)
        assert point["flux"] == pytest.approx(np.mean([p["flux"] for p in group]), rel=0.02)
        assert point["relative_flux"] == pytest.approx(
            np.mean([p["relative_flux"] for p in group]), abs=0.02
        )
        expected_error = np.sqrt(np.sum([p["flux_error"] ** 2 for p in group])) / len(group)
        assert point["flux_error"] == pytest.approx(expected_error, rel=0.05)
    said = invoke(url, "lightcurve", "--source", "1", "--time-scale", "9", code=2)
    assert "no light curve on stacks of 9 frames" in said
    assert "there are 4 frames, 7 min" in said
