"""A night of drawn-out stars in circles and in ellipses, and another one in one pass."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.acceptance.badnights import Answer, run, work_off_here

from tianyu.pipelines.simulation import Camera, NightPlan, NightTruth, Weather, simulate_night

PLAN = replace(
    NightPlan.small(),
    camera=Camera(cosmic_rays_per_megapixel_minute=0.0),
    weather=Weather(elongation=(1.5, 2.1), n_cloudy=0),
)
NEXT = replace(PLAN, start_utc="2025-03-19T02:50:00.000", n_light=3, n_bias=0, n_dark=0, n_flat=0)
SEVEN_TENTHS_FWHM = 0
"""Number of the smallest aperture."""


@pytest.fixture(scope="module")
def here() -> pytest.MonkeyPatch:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tianyu.cli.reduction.work_off", work_off_here)
        yield patch


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[NightTruth, Path]:
    folder = tmp_path_factory.mktemp("night")
    return simulate_night(PLAN, folder / "frames"), folder


@pytest.fixture(scope="module")
def reduced(here: pytest.MonkeyPatch, night: tuple[NightTruth, Path]) -> tuple[Answer, Answer]:
    """The night in circles and again in ellipses: two runs."""
    _, folder = night
    common = ("reduce", folder / "frames", "--out", folder / "out")
    circles = run(*common)
    ellipses = run(*common, "--set", "extract_flux.apertures=elliptical")
    assert (circles.code, ellipses.code) == (0, 0), ellipses.text
    return circles, ellipses


def newest_run(answer: Answer) -> int:
    return int(answer.rows("SELECT MAX(run_id) FROM reduction")[0][0])


def test_the_ellipses_are_those_that_were_simulated(
    reduced: tuple[Answer, Answer], night: tuple[NightTruth, Path]
) -> None:
    """Every frame its own: axis ratios within 15 % (pixels round stars of 2.2 px), angles 4°."""
    run_id = newest_run(reduced[1])
    rows = reduced[1].rows(
        "SELECT i.name, axis_ratio, angle_deg, n_stars FROM aperture_ellipse a "  # noqa: S608
        f"JOIN image i ON i.id = a.image_id WHERE a.run_id = {run_id}"
    )
    truth = {frame.name: frame for frame in night[0].frames}
    assert {row[0] for row in rows} == set(truth)
    for name, ratio, angle, n_stars in rows:
        frame = truth[name]
        assert n_stars >= 15
        assert ratio * frame.elongation == pytest.approx(1.0, abs=0.15)
        assert abs((angle - frame.angle_deg + 90.0) % 180.0 - 90.0) < 4.0
    everywhere = "SELECT COUNT(DISTINCT run_id) FROM aperture_ellipse"
    assert reduced[1].rows(everywhere) == [(1,)], "circles have no rows"


def relative_errors(answer: Answer, run_id: int) -> dict[tuple[int, int], float]:
    """Error over flux in the smallest aperture, by source and image."""
    rows = answer.rows(
        "SELECT source_id, image_id, flux_error / flux FROM flux "  # noqa: S608
        f"WHERE run_id = {run_id} AND aperture = {SEVEN_TENTHS_FWHM} AND flux > 0 AND flags = 0"
    )
    return {(source, image): error for source, image, error in rows}


def test_small_ellipses_hold_more_light_of_drawn_out_stars_than_small_circles(
    reduced: tuple[Answer, Answer],
) -> None:
    last = newest_run(reduced[1])
    circles, ellipses = relative_errors(reduced[1], last - 1), relative_errors(reduced[1], last)
    common = sorted(circles.keys() & ellipses.keys())
    assert len(common) >= 300
    ratio = np.array([ellipses[key] / circles[key] for key in common])
    assert np.median(ratio) < 0.98
    assert np.mean(ratio < 1.0) > 0.9


def test_explain_says_which_aperture_was_used(
    reduced: tuple[Answer, Answer], night: tuple[NightTruth, Path]
) -> None:
    out = night[1] / "out"
    source = reduced[1].rows("SELECT MIN(source_id) FROM flux")[0][0]
    words = ("explain", "--source", str(source), "--frame", "light_r_0004", "--out", out)
    said = run(*words, "--run", str(newest_run(reduced[1])))
    assert said.code == 0, said.text
    assert said.line("ellipse: semi-axes", "stars of the frame", "area of the circle")
    before = run(*words, "--run", str(newest_run(reduced[1]) - 1))
    assert "ellipse" not in before.text


def test_a_night_in_one_pass_has_ellipses_too(
    here: pytest.MonkeyPatch, reduced: tuple[Answer, Answer], night: tuple[NightTruth, Path]
) -> None:
    folder = night[1]
    simulate_night(NEXT, folder / "next")
    answer = run(
        "reduce", folder / "next", "--out", folder / "out",
        "--set", "measure_frames.apertures=elliptical",
        "--set", "measure_frames.axis_ratio=0.6", "--set", "measure_frames.position_angle_deg=30",
    )  # fmt: skip
    assert answer.code == 0, answer.text
    rows = answer.rows(
        "SELECT axis_ratio, angle_deg, n_stars FROM aperture_ellipse "  # noqa: S608
        f"WHERE run_id = {newest_run(answer)}"
    )
    assert len(rows) == NEXT.n_light
    for ratio, angle, n_stars in rows:
        assert (ratio, n_stars) == (pytest.approx(0.6), None)
        assert angle == pytest.approx(30.0, abs=0.2), "turned by the frame's own transform"
    alone = run(
        "reduce", folder / "next", "--out", folder / "out",
        "--set", "measure_frames.axis_ratio=0.6",
    )  # fmt: skip
    assert alone.code != 0
    assert "axis_ratio" in alone.text
