"""A table of positions beside a night's own sources: measured as given, disturbing nobody."""

import csv
from pathlib import Path

import numpy as np
import pytest
from tests.unit.cli_fixtures import answer, invoke

from tianyu.pipelines.simulation import NightPlan, NightTruth, simulate_night
from tianyu.schema.database import Database

OWN = (
    "SELECT image_id, radius_pix, flux, flux_error, relative_flux, flags, is_default_radius, "
    "source_id, x, y, is_reference FROM light_curve WHERE source_id NOT IN "
    "(SELECT id FROM source WHERE is_forced = 1) ORDER BY source_id, image_id, radius_pix"
)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night")
    simulate_night(NightPlan.small(), folder)
    return folder


@pytest.fixture(scope="module")
def plain(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Database:
    return reduce(frames, tmp_path_factory.mktemp("plain"))[0]


def reduce(frames: Path, out: Path, *more: str) -> tuple[Database, str]:
    url = f"sqlite:///{out / 'tianyu.sqlite'}"
    return Database(url), invoke(url, "reduce", str(frames), "--out", str(out), *more)


def rows(database: Database, query: str) -> np.ndarray:
    with database.read() as connection:
        return np.array([tuple(r) for r in connection.exec_driver_sql(query)], dtype=float)


def pointing(frames: Path) -> tuple[float, float]:
    truth = NightTruth.read(frames)
    return float(np.median(truth.stars.ra_deg)), float(np.median(truth.stars.dec_deg))


def test_positions_are_measured_as_given_and_the_night_stays_as_it_was(
    frames: Path, plain: Database, tmp_path: Path
) -> None:
    star = rows(
        plain,
        "SELECT source_id, x, y, ra_deg, dec_deg FROM source_position JOIN source_photometry "
        "USING (source_id) WHERE snr > 100 AND x > 60 AND x < 190 AND y > 60 AND y < 190 "
        "ORDER BY mean_flux DESC LIMIT 1",
    )[0]
    first = min(path.name for path in frames.glob("*light*"))
    table = tmp_path / "places.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([
            ("name", "ra", "dec", "x", "y", "frame"),
            ("on a star", star[3], star[4], "", "", ""),
            ("by pixel", "", "", 128.25, 130.75, first),
            ("far away", pointing(frames)[0], pointing(frames)[1] + 0.5, "", "", ""),
            ("other night", "", "", 5, 5, "nowhere_0001"),
        ])  # fmt: skip
    database, said = reduce(frames, tmp_path / "out", "--positions", str(table))
    words = " ".join(said.split())
    assert "position 'far away' is left out:" in words
    assert "px beyond the edge of the nearest, " in words
    assert "position 'other night' is left out: its frame 'nowhere_0001' is not among" in words

    # Not a digit of any other light curve has changed.
    np.testing.assert_array_equal(rows(database, OWN), rows(plain, OWN))

    url = str(database.url)
    names = {s["name"]: s for s in answer(url, "sources", "--limit", "10000")["sources"]}
    placed = names["on a star"], names["by pixel"]
    assert all(s["is_forced"] and not s["is_reference"] for s in placed)
    assert "far away" not in names
    # As the star itself, whose position is that of the template to some hundredths of a pixel.
    curves = {
        which: np.array([
            (p["flux"], p["relative_flux"], p["flags"])
            for p in answer(url, "lightcurve", "--source", str(which))["points"]
        ])
        for which in (int(star[0]), placed[0]["source_id"])
    }  # fmt: skip
    own, forced = curves.values()
    np.testing.assert_allclose(forced[:, 0], own[:, 0], rtol=2e-3)
    np.testing.assert_allclose(forced[:, 1], own[:, 1], rtol=5e-3)
    assert (forced[:, 2].astype(int) & 1024 == 1024).all(), "flagged as forced"

    # Measured where it was put: the transform of the frame in which it was given leads back.
    x, y = rows(
        database,
        "SELECT f.a * p.x + f.b * p.y + f.tx, f.c * p.x + f.d * p.y + f.ty FROM source_position p "
        "JOIN source s ON s.id = p.source_id JOIN target t ON t.id = s.target_id "
        "JOIN observation_target o ON o.target_id = t.id JOIN frame f ON f.image_id = o.image_id "
        "WHERE t.name = 'by pixel'",
    )[0]
    assert (x, y) == pytest.approx((128.25, 130.75), abs=1e-9)

    # The same names on another run are the same sources; a table replaces the one before.
    table.write_text("name,ra,dec\non a star," + f"{star[3]},{star[4]}\n")
    observation = "SELECT id FROM observation WHERE kind = 'light'"
    number = str(int(rows(database, observation)[0, 0]))
    invoke(url, "target", "place", str(table), "--observation", number)
    reduce(frames, tmp_path / "out", "--positions", str(table))
    shown = answer(url, "sources", "--limit", "10000")
    assert shown["run"] > 4, "a run of its own, current now"
    later = {s["name"]: s["source_id"] for s in shown["sources"] if s["is_forced"]}
    assert later == {"on a star": placed[0]["source_id"]}


def test_a_name_that_is_a_star_already_is_refused(frames: Path, tmp_path: Path) -> None:
    table = tmp_path / "places.csv"
    table.write_text("name,ra,dec\nStar,1,2\n")
    url = f"sqlite:///{tmp_path / 'out' / 'tianyu.sqlite'}"
    out = ["--out", str(tmp_path / "out"), "--target", "Star", "--positions", str(table)]
    said = invoke(url, "reduce", str(frames), *out, code=2)
    assert "'Star' is a registered star" in said
