"""A satellite and cosmic rays in the frames of a night: flagged where they are, where asked."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.acceptance.badnights import Answer, run, spoil, work_off_here

from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.simulation import Camera, NightPlan, NightTruth, simulate_night

PLAN = replace(
    NightPlan.small(), camera=Camera(cosmic_rays_per_megapixel_minute=0.0, hot_fraction=0.0)
)
CROSSED, HIT = "light_r_0004.fits", "light_r_0006.fits"
N_HIT = 10
ANGLE, DISTANCE = math.radians(25.0), 20.0
"""Of the normal of the trail from +x, and of the line from the middle of the frame, pixels."""


def from_trail(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance from the middle of the trail, pixels."""
    cx, cy = PLAN.centre
    return np.abs((x - cx) * math.cos(ANGLE) + (y - cy) * math.sin(ANGLE) - DISTANCE)


def with_trail(pixels: np.ndarray) -> np.ndarray:
    """Add a satellite of ten times the noise of the sky."""
    y, x = np.mgrid[: PLAN.height, : PLAN.width]
    light = 150.0 * np.exp(-0.5 * (from_trail(x, y) / 1.3) ** 2)
    return np.minimum(pixels + np.rint(light), 65535).astype(np.uint16)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> tuple[NightTruth, Path]:
    folder = tmp_path_factory.mktemp("night") / "frames"
    return simulate_night(PLAN, folder), folder


@pytest.fixture(scope="module")
def hosts(truth: tuple[NightTruth, Path]) -> np.ndarray:
    """Stars of middling brightness that are to be hit; pixels of their frame."""
    night, _ = truth
    x, y = night.positions(5)
    inside = (np.minimum(x, y) > 30) & (np.maximum(x, y) < 225) & (night.stars.mag > 14.3)
    chosen = np.flatnonzero(inside)[np.argsort(night.stars.mag[inside])][:N_HIT]
    return np.column_stack([x[chosen], y[chosen]])


@pytest.fixture(scope="module")
def bare(truth: tuple[NightTruth, Path]) -> np.ndarray:
    """The barest places of the frame that is hit, from light of stars and trail; pixels."""
    night, _ = truth
    stars = np.column_stack(night.positions(5))
    x, y = (axis.ravel() for axis in np.mgrid[30:226:10, 30:226:10])
    distance = np.hypot(x[:, None] - stars[:, 0], y[:, None] - stars[:, 1]).min(axis=1)
    distance[from_trail(x, y) < 20.0] = 0.0
    chosen = np.argsort(-distance)[:N_HIT]
    return np.column_stack([x[chosen], y[chosen]])


@pytest.fixture(scope="module")
def reduced(
    truth: tuple[NightTruth, Path],
    hosts: np.ndarray,
    bare: np.ndarray,
    tmp_path_factory: pytest.TempPathFactory,
) -> Answer:
    _, frames = truth

    def hit(pixels: np.ndarray) -> np.ndarray:
        struck = pixels.astype(np.int64)
        for x, y in np.rint(hosts).astype(int):
            struck[y : y + 2, x + 3] += 3000  # beside the core, where LA Cosmic can tell it
        for x, y in bare:
            struck[y : y + 2, x : x + 3] += 2000
        return np.minimum(struck, 65535).astype(np.uint16)

    spoil(frames / CROSSED, with_trail)
    spoil(frames / HIT, hit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tianyu.cli.reduction.work_off", work_off_here)
        answer = run(
            "reduce", frames, "--out", tmp_path_factory.mktemp("out"),
            "--set", "calibrate_align.trails=true", "--set", "extract_flux.trails=true",
            "--set", "extract_flux.cosmic_rays=true", "--set", "calibrate_align.cosmic_rays=true",
        )  # fmt: skip
    assert answer.code == 0, answer.text
    return answer


def points(answer: Answer, frame: str, aperture: int = 0) -> tuple[np.ndarray, ...]:
    """Places of all sources in a frame, the radius of a circle, and its flags."""
    rows = answer.rows(
        "SELECT r.a * s.x + r.b * s.y + r.tx, r.c * s.x + r.d * s.y + r.ty, f.radius_pix, f.flags "  # noqa: S608
        "FROM flux f JOIN image i ON i.id = f.image_id "
        "JOIN frame r ON r.image_id = f.image_id AND r.run_id = f.run_id "
        "JOIN source_position s ON s.source_id = f.source_id "
        f"WHERE i.name = '{frame}' AND f.aperture = {aperture}"
    )
    x, y, radius, flags = np.array(rows, dtype=float).T
    return x, y, radius, flags.astype(int)


def test_sources_on_the_trail_are_flagged_and_no_others(reduced: Answer) -> None:
    x, y, radius, flags = points(reduced, CROSSED)
    is_flagged = (flags & FluxFlag.TRAIL) != 0
    crossed = from_trail(x, y) < radius
    assert crossed.any()
    assert is_flagged[crossed].all()
    assert not is_flagged[from_trail(x, y) > radius + 10.0].any()
    assert f"trails cross {CROSSED}" in reduced.text


def test_the_trail_leaves_no_sources_in_the_template(
    reduced: Answer, truth: tuple[NightTruth, Path]
) -> None:
    """A twelfth of its light would be 3σ of the template over hundreds of pixels."""
    night, _ = truth
    x, y, _, _ = points(reduced, CROSSED)
    stars = np.column_stack(night.positions(3))
    near = from_trail(x, y) < 8.0
    distance = np.hypot(x[near, None] - stars[:, 0], y[near, None] - stars[:, 1]).min(axis=1)
    assert (distance > 3.0).sum() == 0


def test_cosmic_rays_leave_no_sources_in_the_template(reduced: Answer, bare: np.ndarray) -> None:
    """A twelfth of each would be 30σ of the template in six pixels: left in, they are sources."""
    x, y, _, _ = points(reduced, HIT)
    distance = np.hypot(x[:, None] - bare[:, 0] - 1.0, y[:, None] - bare[:, 1] - 0.5).min(axis=0)
    assert (distance > 4.0).all()


def test_stars_hit_by_cosmic_rays_are_flagged(reduced: Answer, hosts: np.ndarray) -> None:
    x, y, _, flags = points(reduced, HIT, aperture=3)
    is_flagged = (flags & FluxFlag.COSMIC_RAY) != 0
    nearest = np.hypot(x[:, None] - hosts[:, 0], y[:, None] - hosts[:, 1])
    of_host = nearest.argmin(axis=0)[nearest.min(axis=0) < 2.0]
    assert of_host.size >= 6
    assert is_flagged[of_host].mean() >= 0.8
    assert is_flagged[nearest.min(axis=1) > 20.0].sum() <= 1


def test_frames_without_either_are_without_flags(reduced: Answer) -> None:
    passing = int(FluxFlag.TRAIL | FluxFlag.COSMIC_RAY)
    n_flagged, n = reduced.rows(
        f"SELECT SUM((f.flags & {passing}) != 0), COUNT(*) FROM flux f "  # noqa: S608
        f"JOIN image i ON i.id = f.image_id WHERE i.name NOT IN ('{CROSSED}', '{HIT}')"
    )[0]
    assert n_flagged <= 0.005 * n
