"""One point of a light curve explained down to the raw file, every value asked for otherwise too.

The independent answers come by plain SQL, by ``sha256sum``'s algorithm on the files, and by
doing what the explanation says: its command makes the same point, digit by digit.
"""

import hashlib
import json
import os
import shlex
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.cli_fixtures import answer, invoke

from tianyu.pipelines.simulation import NightPlan, NightTruth, simulate_night
from tianyu.schema.directory import software_versions

NOWHERE = "sqlite:///nowhere.sqlite"


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night")
    simulate_night(NightPlan.small(), folder)
    return folder


@pytest.fixture(scope="module")
def out(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A night reduced with a target, a position and a chosen option."""
    folder = tmp_path_factory.mktemp("explained")
    stars = NightTruth.read(frames).stars
    centre = np.median(stars.ra_deg), np.median(stars.dec_deg)
    away = np.hypot(stars.ra_deg - centre[0], stars.dec_deg - centre[1])
    inner = np.flatnonzero(away < 0.5 * np.median(away))
    bright = int(inner[np.argmax(stars.flux_e[inner])])
    table = folder / "places.csv"
    place = f"{stars.ra_deg[bright]},{stars.dec_deg[bright]}"
    table.write_text(f"name,ra,dec\nhere,{place}\n")
    invoke(
        NOWHERE, "reduce", str(frames), "--out", str(folder / "out"), "--chunk", "5",
        "--target", "Star A", "--ra", repr(float(stars.ra_deg[bright])),
        f"--dec={float(stars.dec_deg[bright])!r}", "--positions", str(table),
        "--set", "detect_sources.threshold_sigma=6",
    )  # fmt: skip
    return folder / "out"


@pytest.fixture
def sql(out: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(out / "tianyu.sqlite")
    connection.row_factory = sqlite3.Row
    yield connection
    connection.close()


@pytest.fixture
def point(sql: sqlite3.Connection) -> sqlite3.Row:
    return sql.execute(
        "SELECT c.*, i.name AS frame_name FROM light_curve c JOIN image i ON i.id = c.image_id "
        "WHERE source_name = 'Star A' AND is_default_radius = 1 AND frame_is_good = 1 "
        "ORDER BY jd_utc_mid LIMIT 1 OFFSET 6"
    ).fetchone()


@pytest.fixture
def explained(out: Path, point: sqlite3.Row) -> Any:
    return explain(out, "Star A", point["frame_name"])


def explain(out: Path, source: str, frame: str) -> Any:
    return answer(NOWHERE, "explain", "--source", source, "--frame", frame, "--out", str(out))


def test_the_point_is_that_of_the_light_curve(explained: Any, point: sqlite3.Row) -> None:
    told = explained["measurement"]["point"]
    for name in set(point.keys()) - {"frame_name", "utc_mid"}:
        assert told[name] == point[name], name
    assert datetime.fromisoformat(told["utc_mid"]) == datetime.fromisoformat(point["utc_mid"])


def test_a_point_is_named_in_any_way(out: Path, explained: Any, point: sqlite3.Row) -> None:
    name = point["frame_name"]
    for frame in (
        Path(name).stem,
        str(point["image_id"]),
        repr(point["bjd_tdb_mid"]),
        point["utc_mid"],
    ):
        assert explain(out, str(point["source_id"]), frame) == explained
    for frame in ("night_9999", "2460000.5", "2020-01-01T00:00:00"):
        said = invoke(
            NOWHERE, "explain", "--source", "Star A", "--frame", frame, "--out", str(out), code=2
        )
        assert "error: no frame at" in said or "error: there is no frame 'night_9999'" in said


def test_the_aperture_and_the_error_are_those_of_the_rows(
    explained: Any, point: sqlite3.Row, sql: sqlite3.Connection
) -> None:
    m = explained["measurement"]
    row = sql.execute(
        "SELECT * FROM flux WHERE run_id = ? AND source_id = ? AND image_id = ? AND "
        "abs(radius_pix - ?) < 1e-6",
        [point[name] for name in ("run_id", "source_id", "image_id", "radius_pix")],
    ).fetchone()
    assert (m["x_centroid_pix"], m["y_centroid_pix"], m["peak"]) == (
        row["x"],
        row["y"],
        row["peak"],
    )
    assert (m["background"], m["background_rms"]) == (row["background"], row["background_rms"])
    assert m["flux_unit"] == "electron"
    terms = m["terms"]
    assert terms["total"] == row["flux_error"]
    assert terms["source"] == pytest.approx(row["flux"] ** 0.5)
    gain = explained["run"]["parameters"]["surroundings"]["gain_e_per_adu"]
    area = np.pi * row["radius_pix"] ** 2 - 1.04 * row["radius_pix"]
    assert terms["sky"] == pytest.approx(area**0.5 * gain * m["sky_rms_adu"])
    assert terms["read_out"] < terms["sky"]
    parts = terms["source"] ** 2 + terms["sky"] ** 2 + terms["background"] ** 2
    assert parts == pytest.approx(row["flux_error"] ** 2, rel=1e-6)
    # Where the aperture stood is the position through the transform, near the centroid.
    assert np.hypot(m["x_pix"] - row["x"], m["y_pix"] - row["y"]) < 0.2
    radii = sql.execute(
        "SELECT * FROM aperture WHERE run_id = ? ORDER BY aperture", [row["run_id"]]
    )
    shown = [(a["radius_pix"], a["fwhm_factor"]) for a in m["apertures"]]
    for (radius, factor), stored in zip(shown, radii, strict=True):
        assert radius == pytest.approx(stored["radius_pix"], rel=1e-6)
        assert factor == stored["fwhm_factor"]
    assert [a["is_default"] for a in m["apertures"]].count(True) == 1
    assert m["apertures"][row["aperture"]]["is_default"]
    assert "stars of like brightness" in m["aperture_reason"]


def test_the_references_and_the_zero_point_are_those_that_served(
    explained: Any, point: sqlite3.Row, sql: sqlite3.Connection
) -> None:
    c = explained["comparison"]
    assert c["zero_point"] == pytest.approx(point["flux"] / point["relative_flux"])
    parts = c["own_error"] ** 2 + c["reference_error"] ** 2
    assert parts == pytest.approx(point["relative_flux_error"] ** 2)
    stored = sql.execute(
        "SELECT m.source_id, m.weight FROM source_photometry p JOIN reference_member m "
        "ON m.group_id = p.group_id WHERE p.run_id = ? AND p.source_id = ? ORDER BY m.weight DESC",
        [point["run_id"], point["source_id"]],
    ).fetchall()
    assert [(r["source"], r["weight"]) for r in c["references"]] == [tuple(row) for row in stored]
    assert sum(r["share"] for r in c["references"]) == pytest.approx(1.0)
    # The weighted mean of the references over their means is the zero point over the star's own
    # scale: its ratio between two frames shows it, where the surface is of order 0.
    assert "surface of order 0" in c["note"]
    other = sql.execute(
        "SELECT image_id, flux / relative_flux AS zero FROM light_curve WHERE source_id = ? AND "
        "is_default_radius = 1 AND frame_is_good = 1 AND image_id <> ? LIMIT 1",
        [point["source_id"], point["image_id"]],
    ).fetchone()
    used = [r for r in c["references"] if r["is_used"]]
    means = {
        row["source_id"]: row["mean"]
        for row in sql.execute(
            "SELECT source_id, avg(flux) AS mean FROM light_curve WHERE frame_is_good = 1 AND "
            "abs(radius_pix - ?) < 1e-6 GROUP BY source_id",
            [point["radius_pix"]],
        )
    }
    there = {
        row["source_id"]: row["flux"]
        for row in sql.execute(
            "SELECT source_id, flux FROM light_curve WHERE image_id = ? AND "
            "abs(radius_pix - ?) < 1e-6",
            [other["image_id"], point["radius_pix"]],
        )
    }
    here_sum = sum(r["weight"] * r["flux"] / means[r["source"]] for r in used)
    there_sum = sum(r["weight"] * there[r["source"]] / means[r["source"]] for r in used)
    assert c["zero_point"] / other["zero"] == pytest.approx(here_sum / there_sum, rel=1e-5)


def test_the_frame_is_told_as_it_was_measured(
    explained: Any, point: sqlite3.Row, sql: sqlite3.Connection
) -> None:
    f = explained["frame"]
    row = sql.execute(
        "SELECT f.*, v.is_good, v.reason FROM frame f JOIN frame_verdict v "
        "USING (run_id, image_id) WHERE run_id = ? AND image_id = ?",
        [point["run_id"], point["image_id"]],
    ).fetchone()
    m = f["measured"]
    assert (m["is_good"], m["reason"] or "") == (bool(row["is_good"]), row["reason"])
    assert (m["sky_adu"], m["sky_rms_adu"]) == (row["sky_level"], row["sky_rms"])
    assert (m["fwhm_pix"], m["transparency"]) == (row["fwhm_pix"], row["transparency"])
    assert f["matrix"] == [row[name] for name in ("a", "b", "c", "d", "tx", "ty")]
    assert (f["n_matched"], m["residual_pix"]) == (row["n_matched"], row["residual_pix"])
    assert f["scale"] == pytest.approx((row["a"] * row["d"] - row["b"] * row["c"]) ** 0.5)
    assert m["rotation_deg"] == pytest.approx(np.degrees(np.arctan2(row["c"], row["a"])))
    reference = sql.execute(
        "SELECT image_id FROM reference_frame WHERE run_id = ?", [point["run_id"]]
    ).fetchone()
    assert f["reference"]["image"] == reference["image_id"]


def test_files_are_compared_now(
    explained: Any, frames: Path, point: sqlite3.Row, out: Path, sql: sqlite3.Connection
) -> None:
    original = frames / point["frame_name"]
    (raw,) = explained["frame"]["raw"]["files"]
    assert raw["sha256"] == hashlib.sha256(original.read_bytes()).hexdigest()
    assert raw["size_bytes"] == original.stat().st_size
    assert raw["state"] == "unchanged"
    for kind in ("bias", "dark", "flat"):
        master = explained["masters"][kind]
        (file,) = master["product"]["files"]
        written = Path(file["path"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(written).hexdigest()
        assert file["state"] == "unchanged"
        names = [r[0] for r in sql.execute("SELECT name FROM image WHERE kind = ?", [kind])]
        assert sorted(master["frames"]) == sorted(names)
    bias = explained["masters"]["bias"]["product"]["process"]
    assert explained["masters"]["flat"]["calibrated_with"]["bias"] == bias
    template = explained["template"]
    n_good = sql.execute(
        "SELECT count(*) FROM frame_verdict WHERE run_id = ? AND is_good = 1", [point["run_id"]]
    ).fetchone()[0]
    assert template["n_frames"] == n_good
    assert template["exposure_s"] == pytest.approx(60.0 * n_good, rel=1.0)


def test_a_changed_and_a_moved_raw_file_are_reported(
    explained: Any, out: Path, point: sqlite3.Row
) -> None:
    path = Path(explained["frame"]["raw"]["files"][0]["path"])
    whole = path.read_bytes()
    aside = path.with_name("aside")
    # A file of its own: the registered one is a link to the original.
    path.rename(aside)
    try:
        said = invoke(NOWHERE, *words_of(out, point))
        assert "missing: it was moved or deleted" in said
        middle = len(whole) // 2
        path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        said = " ".join(invoke(NOWHERE, *words_of(out, point)).split())
        assert "changed: its SHA-256 is " in said
        (raw,) = explain(out, "Star A", point["frame_name"])["frame"]["raw"]["files"]
        assert raw["state"] == "changed"
        assert hashlib.sha256(path.read_bytes()).hexdigest() in raw["detail"]
    finally:
        path.unlink(missing_ok=True)
        aside.rename(path)


def words_of(out: Path, point: sqlite3.Row) -> list[str]:
    return ["explain", "--source", "Star A", "--frame", point["frame_name"], "--out", str(out)]


def test_the_processes_are_those_that_made_it(
    explained: Any, point: sqlite3.Row, sql: sqlite3.Connection
) -> None:
    told = {p["process"]: p for p in explained["processes"]}
    rows = {str(r["id"]): r for r in sql.execute("SELECT * FROM process")}
    assert set(told) <= set(rows)
    for pid, p in told.items():
        row = rows[pid]
        assert (p["step"], p["state"], p["attempt"]) == (
            row["command"],
            "succeeded",
            row["attempt"],
        )
        assert p["software"] == software_versions()
        assert p["worker"].endswith(tuple(f":{n}" for n in worker_pids(sql)))
    steps = [p["step"] for p in explained["processes"]]
    assert {"master_bias", "master_dark", "master_flat"} <= set(steps)
    for step in ("calibrate_align", "extract_flux"):
        assert steps.count(step) == 1, "of three chunks the one that holds the frame"
        (chunk,) = [p for p in told.values() if p["step"] == step]
        chosen = json.loads(rows[chunk["process"]]["parameters"])["frames"]
        assert point["image_id"] in chosen
        assert chunk["parameters"]["frames"] == len(chosen)
    assert "diagnostics" not in steps


def worker_pids(sql: sqlite3.Connection) -> list[int]:
    return [row["os_pid"] for row in sql.execute("SELECT os_pid FROM worker")]


def test_run_and_parameters_are_those_published(
    explained: Any, point: sqlite3.Row, sql: sqlite3.Connection
) -> None:
    run = sql.execute("SELECT * FROM run WHERE id = ?", [point["run_id"]]).fetchone()
    told = explained["run"]
    assert (told["run"], told["run_key"]) == (run["id"], run["run_key"])
    assert (told["recipe"], told["recipe_version"]) == (run["recipe"], run["recipe_version"])
    assert told["parameters"] == json.loads(run["parameters"])
    assert told["parameters"]["options"] == {"detect_sources": {"threshold_sigma": 6}}


def test_the_commands_make_the_same_point_again(
    explained: Any, point: sqlite3.Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, reduce, publish = explained["remake"]
    monkeypatch.chdir(tmp_path)
    assert os.system(table) == 0  # noqa: S605 - the command that a person would paste
    invoke(NOWHERE, *shlex.split(reduce)[1:])
    again = sqlite3.connect(tmp_path / "again" / "tianyu.sqlite")
    row = again.execute(
        "SELECT c.flux, c.flux_error, c.relative_flux, c.relative_flux_error, c.bjd_tdb_mid, "
        "c.radius_pix, c.flags FROM light_curve c JOIN image i ON i.id = c.image_id "
        "WHERE source_name = 'Star A' AND is_default_radius = 1 AND i.name = ?",
        [point["frame_name"]],
    ).fetchone()
    again.close()
    names = ("flux", "flux_error", "relative_flux", "relative_flux_error", "bjd_tdb_mid")
    assert row == tuple(point[name] for name in (*names, "radius_pix", "flags"))
    assert "is this reduction already" in invoke(NOWHERE, *shlex.split(publish)[1:])


def test_a_person_reads_a_tree(out: Path, explained: Any, point: sqlite3.Row) -> None:
    said = invoke(NOWHERE, *words_of(out, point))
    for title in ("flux", "references", "frame", "masters", "source", "template", "run"):
        assert f"── {title}" in said
    assert f"{point['relative_flux']:.5f}" in said
    assert explained["frame"]["raw"]["files"][0]["sha256"] in said
    assert said.rstrip().endswith(explained["remake"][-1])
