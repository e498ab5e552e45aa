"""Plate solutions are believed only when the stars stand where the catalogue has them."""

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tianyu.pipelines import platesolving
from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.platesolving import Hints, NotSolvedError, index_files, solve_stars
from tianyu.pipelines.science.skysolution import verify_solution
from tianyu.pipelines.science.wcs import LinearWcs

SCALE = 5.0 / 3600.0
ANGLE = math.radians(20.0)
TRUTH = LinearWcs(
    31.0, 46.7, 300.0, 250.0,
    -SCALE * math.cos(ANGLE), SCALE * math.sin(ANGLE),
    SCALE * math.sin(ANGLE), SCALE * math.cos(ANGLE),
)  # fmt: skip
ROUGH = LinearWcs(31.0, 46.7, 301.5, 249.0, TRUTH.cd11, TRUTH.cd12, TRUTH.cd21, TRUTH.cd22)


def field(noise_pix: float, n_field: int = 30):
    """Detected stars with noise, half of them in the catalogue, and a few that are not there."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0.0, 600.0, 2 * n_field), rng.uniform(0.0, 500.0, 2 * n_field)
    ra, dec = TRUTH.to_sky(x[:n_field], y[:n_field])
    ra[:3] += 0.02
    noise = rng.normal(0.0, noise_pix, (2, 2 * n_field))
    return x + noise[0], y + noise[1], ra, dec


def test_the_injected_solution_is_found_again() -> None:
    found = verify_solution(ROUGH, *field(0.1))
    x, y = np.array([0.0, 600.0, 300.0]), np.array([0.0, 0.0, 500.0])
    at_x, at_y = found.wcs.to_pixel(*TRUTH.to_sky(x, y))
    assert np.hypot(at_x - x, at_y - y).max() < 0.15
    # Two axes of 0.1 pixel of 5″.
    assert found.rms_arcsec == pytest.approx(0.1 * 5.0 * math.sqrt(2.0), rel=0.3)
    assert found.n_stars == 27


def test_another_field_matches_too_few() -> None:
    x, y, ra, dec = field(0.1)
    with pytest.raises(UnusableDataError, match="stars match the catalogue, 6 are needed"):
        verify_solution(ROUGH, x, y, ra + 5.0, dec)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch):
    """Stand in for the engine; answers by request."""
    requests = []

    def use(answer):
        def run(*_args, **options):
            requests.append(json.loads(options["input"]))
            output = json.dumps(answer(requests[-1]))
            return subprocess.CompletedProcess([], 0, output, "")

        monkeypatch.setattr(platesolving.importlib.util, "find_spec", lambda _name: True)
        monkeypatch.setattr(platesolving.subprocess, "run", run)
        return requests

    return use


def answer_of(ra, dec):
    # The engine takes the pixels it was given for those of a FITS header.
    cards = ROUGH.to_header() | {"CRPIX1": ROUGH.crpix1, "CRPIX2": ROUGH.crpix2}
    stars = np.column_stack([ra, dec]).tolist()
    return {"is_solved": True, "cards": cards, "stars": stars, "index_file": "index-1.fits"}


FILES = [Path("index-1.fits")]


def test_a_small_residual_is_accepted_and_a_large_one_refused(engine) -> None:
    good, poor = field(0.1), field(0.6)
    engine(lambda _request: answer_of(*good[2:]))
    solved = solve_stars(*good[:2], Hints(5.0, 31.0, 46.7), FILES)
    assert solved.solution.rms_arcsec < 1.0
    engine(lambda _request: answer_of(*poor[2:]))
    with pytest.raises(NotSolvedError, match=r"the solution is refused: .*2″ is accepted"):
        solve_stars(*poor[:2], Hints(), FILES)


def test_mistaken_hints_are_tried_first_and_then_left_out(engine) -> None:
    x, y, ra, dec = field(0.1)
    requests = engine(lambda r: {"is_solved": False} if r["scale_arcsec"] else answer_of(ra, dec))
    solve_stars(x, y, Hints(1.0, 200.0, -10.0), FILES)
    assert requests[0]["position"] == [200.0, -10.0, 5.0]
    assert (requests[1]["scale_arcsec"], requests[1]["position"]) == (None, None)


def test_without_index_files_it_says_what_to_install(tmp_path: Path) -> None:
    assert index_files(str(tmp_path)) == []
    with pytest.raises(NotSolvedError, match=r"no astrometry.net index.*TIANYU_INDEX_FOLDERS"):
        solve_stars(np.ones(5), np.ones(5), Hints(), [])


def test_folders_are_separated_as_in_path(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"index-{name}.fits").touch()
    (tmp_path / "a" / "readme.txt").touch()
    import os

    found = index_files(f"{tmp_path / 'a'}{os.pathsep}{tmp_path / 'b'}")
    assert [path.name for path in found] == ["index-a.fits", "index-b.fits"]


def test_a_crash_of_the_engine_is_a_line(engine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine(lambda _request: {})
    died = subprocess.CompletedProcess([], -11, "", "")
    monkeypatch.setattr(platesolving.subprocess, "run", lambda *_a, **_k: died)
    with pytest.raises(NotSolvedError, match="ended with code -11: it left no word"):
        solve_stars(np.ones(5), np.ones(5), Hints(), FILES)
