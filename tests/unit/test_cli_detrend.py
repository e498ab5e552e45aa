"""``tianyu lightcurve --detrend`` and ``tianyu run compare`` on a night of twenty stars."""

import csv
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from sqlalchemy import Connection, insert
from tests.unit.cli_fixtures import (
    ALIGN,
    JD_START,
    JD_TO_BJD,
    START,
    answer,
    build_survey,
    copy_survey,
    invoke,
)

from tianyu.schema.database import Database
from tianyu.schema.tables import (
    Aperture,
    Flux,
    Frame,
    FrameVerdict,
    Image,
    Reduction,
    RelativeFlux,
    Source,
    SourcePhotometry,
    SourcePosition,
)

N_STAR, N_FRAME = 20, 100
FIRST_STAR, FIRST_FRAME = 11, 201
STAR = FIRST_STAR
AIRMASS = 1.05 + 0.5 * np.linspace(-1.0, 1.0, N_FRAME) ** 2
DRIFT = np.linspace(0.0, 12.0, N_FRAME)
SLOPE, NOISE = 0.03, 0.002


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny survey, where run 1 has further stars with trends, and run 2 is twice as noisy."""
    url = build_survey(tmp_path_factory.mktemp("survey"))
    database = Database(url)
    with database.write() as connection:
        _add_stars(connection)
        _insert(connection, Reduction, [{"run_id": 2, "observation_id": 1, "flux_unit": "electron",
                                         "template_image_id": 100, "notes": {}}])  # fmt: skip
        _insert(connection, Aperture, [{"run_id": 2, "aperture": 1, "radius_pix": 4.0}])
        _insert(connection, Image, [_image(i) for i in range(N_FRAME)])
        _add_run(connection, 1, NOISE)
        _add_run(connection, 2, 2.0 * NOISE, n_star=N_STAR - 2)
    database.dispose()
    return url


def _insert(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    connection.execute(insert(table), rows)


def _image(i: int) -> dict[str, Any]:
    return {
        "id": FIRST_FRAME + i, "name": f"night_{i}.fits", "kind": "light", "observation_id": 1,
        "width": 101, "height": 81, "binning": 1, "exposure_s": 60.0, "header": {},
        "utc_mid": START + timedelta(hours=1, minutes=2 * i),
    }  # fmt: skip


def _add_stars(connection: Connection) -> None:
    stars = range(FIRST_STAR, FIRST_STAR + N_STAR)
    _insert(connection, Source, [
        {"id": s, "sky_id": 1, "birth": ALIGN, "is_forced": False} for s in stars
    ])  # fmt: skip
    _insert(connection, SourcePosition, [
        {"template_image_id": 100, "source_id": s, "x": 4.0 * (s - 10), "y": 3.0 * (s - 10)}
        for s in stars
    ])  # fmt: skip


def _add_run(connection: Connection, run: int, noise: float, n_star: int = N_STAR) -> None:
    frames, verdicts = [], []
    for i in range(N_FRAME):
        jd = JD_START + 1 / 24 + 2 * i / 1440.0
        key = {"run_id": run, "image_id": FIRST_FRAME + i}
        frames.append({
            **key, "aligned_by": ALIGN, "is_aligned": True, "is_stacked": True, "n_stars": 30,
            "fwhm_pix": 2.5, "elongation": 1.1, "sky_level": 300.0, "sky_rms": 4.0,
            "transparency": 1.0, "airmass": float(AIRMASS[i]),
            "a": 1.0, "b": 0.0, "c": 0.0, "d": 1.0, "tx": float(DRIFT[i]), "ty": 0.0,
            "utc_mid": START, "jd_utc_mid": jd, "bjd_tdb_mid": jd + JD_TO_BJD,
        })  # fmt: skip
        verdicts.append({**key, "is_good": True, "reject_bits": 0, "reason": ""})
    _insert(connection, Frame, frames)
    _insert(connection, FrameVerdict, verdicts)
    rng = np.random.default_rng(run)
    relative = 1.0 + noise * rng.standard_normal((n_star, N_FRAME))
    relative *= 1.0 + SLOPE * (AIRMASS - np.median(AIRMASS))
    stars = np.arange(n_star)
    for table, names in ((Flux, ("flux", "flux_error")),
                         (RelativeFlux, ("relative_flux", "relative_flux_error"))):  # fmt: skip
        scale = 1000.0 if table is Flux else 1.0
        more = {"radius_pix": 4.0} if table is Flux else {}
        _insert(connection, table, [
            {"run_id": run, "source_id": FIRST_STAR + int(s), "image_id": FIRST_FRAME + i,
             "aperture": 1, "flags": 0, names[0]: scale * float(relative[s, i]),
             names[1]: scale * noise, **more}
            for s in stars for i in range(N_FRAME)
        ])  # fmt: skip
    _insert(connection, SourcePhotometry, [
        {"run_id": run, "source_id": FIRST_STAR + int(s), "default_aperture": 1,
         "is_reference": True, "mean_flux": 1000.0 + 10.0 * float(s), "scatter": noise,
         "n_epochs": N_FRAME, "expected_scatter": noise, "von_neumann": 2.0}
        for s in stars
    ])  # fmt: skip


def test_the_trend_goes_the_raw_stays_and_the_coefficients_tell(survey: str) -> None:
    raw = answer(survey, "lightcurve", "--source", str(STAR))["points"]
    shown = answer(survey, "lightcurve", "--source", str(STAR), "--detrend", "airmass,position")
    (of_run,) = shown["detrending"]
    assert [(t["name"], t["is_used"]) for t in of_run["terms"]] == [
        ("airmass", True),
        ("position", False),
    ]
    assert of_run["terms"][1]["ratio"] == pytest.approx(1.0, abs=0.05)
    (column,) = of_run["columns"]
    assert column["name"] == "airmass"
    assert column["coefficient"] == pytest.approx(SLOPE, abs=0.005)
    assert (of_run["run"], of_run["source_id"], of_run["n_like_stars"]) == (1, STAR, N_STAR - 1)
    assert of_run["scatter_after"] == pytest.approx(NOISE, rel=0.25)
    assert of_run["scatter_before"] > 1.5 * of_run["scatter_after"]
    for before, after in zip(raw, shown["points"], strict=True):
        assert {name: after[name] for name in before} == before
        by_hand = column["coefficient"] * (after["airmass"] - column["reference"])
        assert after["trend"] == pytest.approx(by_hand, abs=1e-6)
        assert after["detrended_flux"] * (1 + after["trend"]) == pytest.approx(
            after["relative_flux"], rel=1e-7
        )
    assert shown["summary"][0]["scatter"] == pytest.approx(of_run["scatter_after"], rel=0.01)


def test_every_format_has_both_columns(survey: str, tmp_path: Path) -> None:
    what = ["lightcurve", "--source", str(STAR), "--detrend", "airmass", "--good-only"]
    for ending in ("csv", "ecsv", "fits", "json"):
        invoke(survey, *what, "--export", str(tmp_path / f"curve.{ending}"))
    with (tmp_path / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == N_FRAME
    table = Table.read(tmp_path / "curve.ecsv")
    content = json.loads((tmp_path / "curve.json").read_text())
    with fits.open(tmp_path / "curve.fits") as hdus:
        in_fits, header = hdus[1].data["detrended_flux"].tolist(), dict(hdus[1].header)
    wanted = [p["detrended_flux"] for p in content["points"]]
    assert [float(r["detrended_flux"]) for r in rows] == wanted
    assert table["detrended_flux"].tolist() == in_fits == wanted
    assert json.loads(header["TREND1"]) == content["detrending"][0]
    assert table.meta["detrending"] == content["detrending"]


def test_a_person_reads_what_was_done(survey: str) -> None:
    shown = invoke(survey, "lightcurve", "--source", str(STAR), "--detrend", "airmass,fwhm")
    assert "run 1 detrended by airmass: scatter 0." in shown
    assert "fwhm refused (it does not change)" in shown
    assert "judged by 19 like stars" in shown


def test_it_can_be_drawn(survey: str, tmp_path: Path) -> None:
    picture = tmp_path / "curve.png"
    what = ["lightcurve", "--source", str(STAR), "--detrend", "airmass"]
    invoke(survey, *what, "--plot", str(picture))
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--source", "11", "--detrend", "colour"], 2, "there are airmass, position, sky, fwhm"),
        (["--source", "1", "--detrend", "airmass"], 2, "run 1, source 1: 5 good points have all"),
        (["--source", "11", "--detrend", "airmass", "--all-radii"], 2, "leave --all-radii and"),
    ],
)
def test_what_cannot_be_detrended(survey: str, arguments: list[str], code: int, words: str) -> None:
    assert words in " ".join(invoke(survey, "lightcurve", *arguments, code=code).split())


def test_two_runs_are_compared_on_the_same_stars_and_frames(survey: str) -> None:
    found = answer(survey, "run", "compare", "1", "2")["comparison"]
    assert found["runs"] == [1, 2]
    # Two of the twenty, and the two of the tiny survey, are of the first run alone.
    assert (found["n_source"], found["n_frame"], found["only"]) == (N_STAR - 2, N_FRAME, [4, 0])
    assert [c["name"] for c in found["classes"]] == ["bright", "middle", "faint"]
    for c in found["classes"]:
        assert c["n_source"] == 6
        assert c["point_to_point"] == pytest.approx([NOISE, 2 * NOISE], rel=0.2)
        assert c["expected"] == pytest.approx([NOISE, 2 * NOISE])
        assert 1.1 < c["ratio"] < 2.0
        assert c["quieter"] < 0.5


def test_a_person_compares_in_a_table_and_sees_what_differs(survey: str, tmp_path: Path) -> None:
    url = copy_survey(survey, tmp_path)
    database = Database(url)
    with database.write() as connection:
        connection.exec_driver_sql(
            "UPDATE run SET parameters = "
            """'{"options": {"relative_photometry": {"method": "groups"}}}' WHERE id = 2"""
        )
    database.dispose()
    shown = invoke(url, "run", "compare", "1", "2")
    assert "Runs 1 | 2: 18 stars in 100 frames of both" in shown
    assert "options.relative_photometry.method: default | groups" in shown


def test_a_run_without_light_curves_cannot_be_compared(survey: str) -> None:
    assert "there is no run 7" in invoke(survey, "run", "compare", "1", "7", code=2)
