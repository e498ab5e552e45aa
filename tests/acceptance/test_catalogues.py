"""A simulated night against catalogues: matched, calibrated, and quietly on without them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from tests.unit.gaia_archive import archive
from typer.testing import CliRunner

from tianyu.cli.main import app
from tianyu.pipelines.simulation import NightPlan, NightTruth, simulate_night
from tianyu.schema.database import Database

VARIABLE = 30
"""Star of the scene that the catalogue calls variable; without it, among the best references."""


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night") / "frames"
    folder.mkdir()
    simulate_night(NightPlan.small(), folder)
    return folder


@pytest.fixture(scope="module")
def catalogue(frames: Path) -> Path:
    """The stars of the scene, with a magnitude of another name and a star that is variable."""
    stars = NightTruth.read(frames).stars
    path = frames.parent / "truth.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "RA", "DEC", "rMag", "variable"])
        for i, place in enumerate(zip(stars.ra_deg, stars.dec_deg, stars.mag, strict=True)):
            writer.writerow([f"s{i}", *place, str(i == VARIABLE).lower()])
    return path


def invoke(*arguments: str) -> str:
    answer = CliRunner().invoke(app, list(arguments))
    assert answer.exit_code == 0, answer.output
    return answer.output


def reduce(frames: Path, out: Path, *options: str) -> Database:
    settings = [part for option in options for part in ("--set", option)]
    invoke("reduce", str(frames), "--out", str(out), "--workers", "2", *settings)
    return Database(f"sqlite:///{out / 'tianyu.sqlite'}")


def rows(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def notes(database: Database) -> dict[str, str]:
    query = "SELECT notes FROM reduction ORDER BY run_id DESC LIMIT 1"
    found: dict[str, str] = json.loads(str(rows(database, query)[0][0]))
    return found


@pytest.fixture(scope="module")
def matched(frames: Path, catalogue: Path, tmp_path_factory: pytest.TempPathFactory) -> Database:
    return reduce(
        frames,
        tmp_path_factory.mktemp("matched"),
        f"match_catalogue.catalogue={catalogue}",
        'match_catalogue.columns={"magnitude": "rMag"}',
    )


@pytest.fixture(scope="module")
def unmatched(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """The same night while Gaia's archive is down."""
    with archive() as server:
        url = server.url
    out = tmp_path_factory.mktemp("unmatched")
    return reduce(
        frames, out, "match_catalogue.catalogue=gaia", f"match_catalogue.archive_url={url}"
    )


def test_sources_are_matched_with_the_stars_they_are(frames: Path, matched: Database) -> None:
    assert "by the headers" in notes(matched)["sky"]
    found = rows(matched, (
        "SELECT separation_arcsec, catalogue FROM cross_match WHERE neighbour = 1"
    ))  # fmt: skip
    assert len(found) >= 10
    assert {name for _, name in found} == {"truth"}
    scale = NightTruth.read(frames).plan.field.pixel_scale_arcsec
    assert np.median([float(str(d)) for d, _ in found]) < 0.15 * scale


def test_magnitudes_are_those_injected(matched: Database) -> None:
    """Every star's own magnitude, from flux to catalogue and back, at the percent."""
    found = np.array(rows(matched, (
        "SELECT AVG(m.magnitude), c.magnitude, AVG(m.magnitude_error) FROM magnitude_curve m "
        "JOIN cross_match c ON c.source_id = m.source_id AND c.neighbour = 1 "
        "GROUP BY m.source_id, c.magnitude HAVING AVG(m.magnitude_error) < 0.02"
    )), dtype=float)  # fmt: skip
    assert len(found) >= 8
    assert np.median(np.abs(found[:, 0] - found[:, 1])) < 0.02
    assert "zero point" in notes(matched)["magnitudes"]


def test_every_frame_has_a_zero_point_that_follows_its_transparency(matched: Database) -> None:
    found = np.array(rows(matched, (
        "SELECT z.zero_point, f.transparency, z.scatter, z.n_stars FROM zero_point z "
        "JOIN frame f ON f.run_id = z.run_id AND f.image_id = z.image_id WHERE z.aperture = 4"
    )), dtype=float)  # fmt: skip
    assert len(found) >= 5
    left = found[:, 0] - 2.5 * np.log10(found[:, 1])
    assert np.std(left) < 0.03
    assert np.median(found[:, 2]) < 0.1


def test_a_variable_of_the_catalogue_is_no_reference(
    matched: Database, unmatched: Database
) -> None:
    variable = rows(
        matched, "SELECT source_id FROM cross_match WHERE is_variable = 1 AND neighbour = 1"
    )
    assert len(variable) == 1
    serving = "SELECT source_id FROM source_photometry WHERE is_reference = 1"
    # Both find the same sources in the same order.
    assert variable[0] in rows(unmatched, serving)
    assert variable[0] not in rows(matched, serving)
    assert len(rows(matched, serving)) >= 3


def test_light_curves_in_magnitudes(matched: Database, tmp_path: Path) -> None:
    url, path = matched.url.render_as_string(), tmp_path / "curve.csv"
    source = rows(matched, "SELECT MIN(source_id) FROM magnitude")[0][0]
    invoke("lightcurve", "--database", url, "--source", str(source), "--magnitudes",
           "--export", str(path))  # fmt: skip
    with path.open() as file:
        points = list(csv.DictReader(file))
    assert all(5.0 < float(point["magnitude"]) < 25.0 for point in points)
    assert all(float(point["magnitude_error"]) > 0.0 for point in points)


def test_gaia_out_of_reach_is_a_line_and_the_night_goes_on(unmatched: Database) -> None:
    database = unmatched
    assert "gave no answer" in notes(database)["catalogue"]
    assert notes(database)["magnitudes"] == "none: no source has a catalogue magnitude"
    assert rows(database, "SELECT COUNT(*) FROM process WHERE state <> 'succeeded'") == [(0,)]
    assert int(str(rows(database, "SELECT COUNT(*) FROM relative_flux")[0][0])) > 100
    text = CliRunner().invoke(
        app, ["lightcurve", "--database", database.url.render_as_string(), "--source", "1",
              "--magnitudes"],
    )  # fmt: skip
    assert "no calibrated magnitude" in text.output
