"""``tianyu lightcurve``: finding a source, and its points in every form."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from tests.unit.cli_fixtures import (
    JD_START,
    JD_TO_BJD,
    RELATIVE_FLUX,
    answer,
    build_survey,
    invoke,
)

from tianyu.schema.database import Database

COLUMNS = [
    "source_id", "source_name", "target", "ra", "dec", "x",
    "y", "utc_mid", "jd_utc_mid", "bjd_tdb_mid", "filter", "airmass",
    "radius_pix", "is_default_radius", "flux", "flux_error", "relative_flux", "relative_flux_error",
    "flags", "is_reference", "frame_is_good", "image_id", "observation_id", "run_id",
]  # fmt: skip


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_survey(tmp_path_factory.mktemp("survey"))


def test_the_default_radius_is_the_chosen_one(survey: str) -> None:
    points = answer(survey, "lightcurve", "--target", "HAT-P-32")["points"]
    assert [p["relative_flux"] for p in points] == list(RELATIVE_FLUX)
    assert {p["radius_pix"] for p in points} == {4.0}
    assert {p["is_default_radius"] for p in points} == {1}


def test_columns_are_those_of_the_view_in_its_order(survey: str) -> None:
    database = Database(survey)
    with database.read() as connection:
        view = list(connection.exec_driver_sql("SELECT * FROM light_curve LIMIT 1").keys())
    database.dispose()
    points = answer(survey, "lightcurve", "--source", "1")["points"]
    assert list(points[0]) == view == COLUMNS


def test_all_radii(survey: str) -> None:
    shown = answer(survey, "lightcurve", "--source", "1", "--all-radii")
    assert len(shown["points"]) == 12
    assert [(s["radius_pix"], s["is_default_radius"]) for s in shown["summary"]] == [
        (4.0, True),
        (3.0, False),
    ]


def test_good_only_leaves_rejected_frames_out(survey: str) -> None:
    points = answer(survey, "lightcurve", "--source", "1", "--good-only")["points"]
    assert [p["image_id"] for p in points] == [1, 2, 3, 4, 6]


def test_the_summary_speaks_of_good_points_only(survey: str) -> None:
    (summary,) = answer(survey, "lightcurve", "--target", "HAT-P-32")["summary"]
    assert (summary["n_points"], summary["n_good"], summary["n_nights"]) == (6, 5, 1)
    # 1, 1.01, 0.99, 1.02, 0.98: deviations 0, 0.01, 0.01, 0.02, 0.02 from the median 1.
    assert summary["scatter"] == pytest.approx(1.4826 * 0.01, rel=1e-4)
    assert summary["median_error"] == pytest.approx(0.01)
    assert summary["span_day"] == pytest.approx(25 / 1440, rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        (["--target", "HAT-P-32"], 1),
        (["--target", "hatp32"], 1),
        (["--source", "2"], 2),
        (["--at", "31.042825,46.687837"], 1),
        # 2″ north: source 2 is 1″ away, source 1 is 2″ away.
        (["--at", f"31.042825,{46.687837 + 2 / 3600}"], 2),
        (["--at", "02:04:10.278,+46:41:16.2"], 1),
        (["--pixel", "49,39"], 1),
        (["--pixel", "50,42.9"], 2),
    ],
)
def test_ways_to_ask_for_a_source(survey: str, arguments: list[str], source: int) -> None:
    points = answer(survey, "lightcurve", *arguments)["points"]
    assert {p["source_id"] for p in points} == {source}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "HAT-P-33"], "there is no target 'HAT-P-33'; did you mean HAT-P-32?"),
        (["--target", "Vega"], "there are: HAT-P-32, TrES-5"),
        (["--target", "TrES-5"], "no source has been recognised as the target 'TrES-5'"),
        (["--source", "77"], "the database holds 3 sources, 1 to 3"),
        (["--at", "31.05,46.7"], "the nearest: source 2 at 50.0, 43.0, 44.5″ away, source 1"),
        (["--at", "31.05,46.7"], "sky coordinates are known of 2 of 3 sources"),
        (["--at", "31.05"], "is not a pair"),
        (["--at", "31.05,97"], "no place on the sky"),
        (["--pixel", "a,b"], "'a,b' is no pixel"),
        (["--pixel", "70,40"], "no source within 5 px of pixel 70, 40"),
        (["--source", "3"], "--all-radii"),
        (["--source", "1", "--run", "2"], "run 2 hold no point of source 1"),
        (["--source", "1", "--run", "5"], "there is no run 5"),
        (["--source", "1", "--observation", "M31"], "there is no observation 'M31'"),
        (["--source", "1", "--export", "curve.xls"], "one of .csv, .ecsv, .fits, .json"),
        (["--source", "1", "--plot", "curve.gif"], "one of .png, .pdf, .svg"),
        ([], "exactly one of"),
        (["--source", "1", "--target", "HAT-P-32"], "exactly one of"),
    ],
)
def test_errors_say_what_there_is(survey: str, arguments: list[str], words: str) -> None:
    assert words in " ".join(invoke(survey, "lightcurve", *arguments, code=2).split())


def test_within_widens_the_search(survey: str) -> None:
    shown = answer(survey, "lightcurve", "--pixel", "70,40", "--within", "25")
    assert shown["source"] == "source 1, 20.00 px from pixel 70, 40 of the template of run 1"


def test_an_observation_by_a_part_of_its_name(survey: str) -> None:
    shown = answer(survey, "lightcurve", "--source", "1", "--observation", "2017-12-19")
    assert len(shown["points"]) == 6


def test_a_source_without_comparison_shows_its_flux(survey: str) -> None:
    shown = invoke(survey, "lightcurve", "--source", "3", "--all-radii")
    assert "source 3: 12 points (flux in electron)" in shown


def test_the_words_for_people(survey: str) -> None:
    shown = invoke(survey, "lightcurve", "--target", "HAT-P-32")
    assert "target HAT-P-32: 6 points" in shown
    assert "2017-12-20T04:00:00 … 2017-12-20T04:25:00" in shown
    assert f"{JD_START + JD_TO_BJD:.6f}" in shown
    assert "1.48 %" in shown
    assert re.search(r"0\.40000 .* frame_rejected", shown)


def expected_bjd() -> list[float]:
    return [JD_START + 5 * i / 1440.0 + JD_TO_BJD for i in range(6)]


def test_csv_keeps_every_digit_of_the_times(survey: str, tmp_path: Path) -> None:
    path = tmp_path / "sub" / "curve.csv"
    assert "6 points" in invoke(survey, "lightcurve", "--source", "1", "--export", str(path))
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert [float(r["bjd_tdb_mid"]) for r in rows] == expected_bjd()
    assert rows[0]["utc_mid"] == "2017-12-20T04:00:00.000000"
    # 32 bits have no more digits than these.
    assert rows[1]["relative_flux"] == "1.01"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("ending", ["ecsv", "fits"])
def test_tables_carry_units_and_descriptions(survey: str, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"curve.{ending}"
    invoke(survey, "lightcurve", "--source", "1", "--export", str(path))
    table = Table.read(path)
    assert table.colnames == COLUMNS
    assert str(table["flux"].unit) == "electron"
    assert str(table["bjd_tdb_mid"].unit) == "d"
    assert table["bjd_tdb_mid"].tolist() == expected_bjd()
    np.testing.assert_array_equal(table["relative_flux"], np.float32(RELATIVE_FLUX))


def test_descriptions_are_where_each_format_has_them(survey: str, tmp_path: Path) -> None:
    words = "mid-exposure at the barycentre, BJD in TDB"
    for ending in ("ecsv", "fits"):
        invoke(survey, "lightcurve", "--source", "1", "--export", str(tmp_path / f"c.{ending}"))
    assert Table.read(tmp_path / "c.ecsv")["bjd_tdb_mid"].description == words
    header = fits.getheader(tmp_path / "c.fits", "LIGHT_CURVE")
    assert header["TCOMM10"] == words
    assert (header["TUNIT15"], header["FLAG0"]) == ("electron", "saturated")


def test_json_says_what_flags_mean(survey: str, tmp_path: Path) -> None:
    path = tmp_path / "curve.json"
    invoke(survey, "lightcurve", "--source", "1", "--export", str(path))
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["flux_unit"] == "electron"
    assert content["flags"]["saturated"] == 1
    assert [p["bjd_tdb_mid"] for p in content["points"]] == expected_bjd()


def test_what_is_not_known_is_empty_or_null(survey: str, tmp_path: Path) -> None:
    path = tmp_path / "curve.csv"
    invoke(survey, "lightcurve", "--source", "3", "--all-radii", "--export", str(path))
    with path.open(encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["source_name"], row["ra"], row["relative_flux"]) == ("", "", "")
    points = answer(survey, "lightcurve", "--source", "3", "--all-radii")["points"]
    assert points[0]["relative_flux"] is None


def test_an_export_that_cannot_be_written_is_one_line(survey: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    path = tmp_path / "file" / "curve.csv"
    shown = invoke(survey, "lightcurve", "--source", "1", "--export", str(path), code=2)
    assert shown.startswith(f"error: cannot write {path}")


@pytest.mark.parametrize(
    ("name", "start"), [("curve.png", b"\x89PNG"), ("curve.pdf", b"%PDF"), ("curve.svg", b"<?xml")]
)
def test_pictures(survey: str, tmp_path: Path, name: str, start: bytes) -> None:
    path = tmp_path / name
    invoke(survey, "lightcurve", "--target", "HAT-P-32", "--plot", str(path))
    assert path.read_bytes().startswith(start)
