"""A small simulated night through the whole chain: how it is cut up must not change a digit."""

from pathlib import Path

import numpy as np
import pytest
from tests.acceptance.badnights import run, work_off_here
from typer.testing import CliRunner

from tianyu.cli.main import app
from tianyu.pipelines.measuring import FrameBuffers
from tianyu.pipelines.simulation import NightPlan, NightTruth, simulate_night
from tianyu.schema.database import Database

CURVES = "SELECT * FROM light_curve ORDER BY source_id, image_id, radius_pix"
MATCH_PIX = 1.0
COLUMNS = """
source_id source_name target ra dec x y utc_mid jd_utc_mid bjd_tdb_mid filter airmass radius_pix
is_default_radius flux flux_error relative_flux relative_flux_error flags is_reference
frame_is_good image_id observation_id run_id
"""


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night") / "frames"
    folder.mkdir()
    simulate_night(NightPlan.small(), folder)
    return folder


def reduce(frames: Path, out: Path, chunk: int, workers: int) -> Database:
    answer = CliRunner().invoke(app, [
        "reduce", str(frames), "--out", str(out), "--chunk", str(chunk),
        "--workers", str(workers), "--fan-out", "3",
    ])  # fmt: skip
    assert answer.exit_code == 0, answer.output
    return Database(f"sqlite:///{out / 'tianyu.sqlite'}")


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


@pytest.fixture(scope="module")
def whole(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """The night in one chunk by one worker."""
    return reduce(frames, tmp_path_factory.mktemp("whole"), chunk=64, workers=1)


@pytest.mark.parametrize(("chunk", "workers"), [(1, 3), (7, 2)])
def test_chunks_and_workers_do_not_change_a_digit(
    frames: Path, whole: Database, tmp_path: Path, chunk: int, workers: int
) -> None:
    expected = rows(whole, CURVES)
    assert len(expected) > 1000
    assert rows(reduce(frames, tmp_path, chunk, workers), CURVES) == expected


def test_what_memory_held_before_changes_nothing(
    frames: Path, whole: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames are measured in memory that is used again, and often only about their sources."""
    clean = FrameBuffers.of_shape

    def dirty(buffers: FrameBuffers, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        pixels, mask = clean(buffers, shape)
        pixels.fill(np.nan)
        mask.fill(0xFF)
        return pixels, mask

    monkeypatch.setattr(FrameBuffers, "of_shape", dirty)
    monkeypatch.setattr("tianyu.cli.reduction.work_off", work_off_here)
    answer = run("reduce", frames, "--out", tmp_path, "--fan-out", "3")
    assert answer.code == 0, answer.text
    assert answer.rows(CURVES) == rows(whole, CURVES)
    assert "trails" not in answer.text


def test_masters_are_made_and_used(whole: Database) -> None:
    notes = rows(whole, "SELECT notes FROM reduction ORDER BY run_id DESC LIMIT 1")[0][0]
    assert all(f"{kind} of observation" in str(notes) for kind in ("bias", "dark", "flat"))
    kinds = {row[0] for row in rows(whole, "SELECT kind FROM image WHERE birth IS NOT NULL")}
    assert {"master_bias", "master_dark", "master_flat", "template"} <= kinds


def test_positions_and_fluxes_are_those_injected(frames: Path, whole: Database) -> None:
    """Fluxes through a wide aperture against the truth: the median ratio is the encircled part."""
    truth = NightTruth.read(frames)
    found = np.array(rows(whole, (
        "SELECT p.ra_deg, p.dec_deg, sp.mean_flux, sp.scatter FROM source_position p "
        "JOIN source_photometry sp ON sp.source_id = p.source_id WHERE p.snr > 100"
    )), dtype=float)  # fmt: skip
    assert len(found) >= 10
    east = (found[:, None, 0] - truth.stars.ra_deg) * np.cos(np.radians(found[:, None, 1]))
    distance = 3600 * np.hypot(east, found[:, None, 1] - truth.stars.dec_deg)
    nearest = distance.argmin(axis=1)
    pixel_arcsec = truth.plan.field.pixel_scale_arcsec
    matched = distance.min(axis=1) < MATCH_PIX * pixel_arcsec
    assert matched.mean() > 0.95
    assert np.median(distance.min(axis=1)) < 0.15 * pixel_arcsec
    ratio = found[matched, 2] / truth.stars.flux_e[nearest[matched]]
    # Extinction takes about 15 %, apertures of one to two FWHM lose 5 to 25 %.
    assert 0.6 < np.median(ratio) < 1.0


def test_every_process_succeeded_once_and_no_temporary_file_is_left(whole: Database) -> None:
    assert rows(whole, "SELECT COUNT(*) FROM process WHERE state <> 'succeeded'") == [(0,)]
    assert rows(whole, "SELECT COUNT(*) FROM attempt WHERE outcome <> 'succeeded'") == [(0,)]
    assert rows(whole, (
        "SELECT COUNT(*) FROM process p LEFT JOIN attempt a ON a.process_id = p.id "
        "WHERE a.id IS NULL"
    )) == [(0,)]  # fmt: skip
    root = Path(str(whole.url.database)).parent
    assert not list(root.rglob("*.tmp"))


def test_the_light_curve_by_one_select(whole: Database) -> None:
    columns = COLUMNS.split()
    with whole.read() as connection:
        result = connection.exec_driver_sql("SELECT * FROM light_curve WHERE source_id = 1")
        assert list(result.keys()) == columns
        first = result.mappings().first()
    assert first is not None
    # Mid-exposure: half a minute after the start in the header, and light travel within 9 min.
    assert 0 < abs(first["bjd_tdb_mid"] - first["jd_utc_mid"]) < 9.5 / 1440 + 70 / 86400
