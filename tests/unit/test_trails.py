"""Trails: recovered down to a faint surface brightness, masked where they are, and nowhere else."""

import math

import numpy as np
import pytest

from tianyu.pipelines.science.trails import find_trails

SHAPE, RMS, FWHM = (512, 512), 5.0, 3.3
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32)
EVERYWHERE = np.ones(SHAPE, dtype=bool)


def sky(seed, n_stars=60):
    """Noise, and stars that no footprint covers, up to a hundred times as high."""
    rng = np.random.default_rng(seed)
    frame = rng.normal(0.0, RMS, SHAPE).astype(np.float32)
    for _ in range(n_stars):
        x, y = rng.integers(6, SHAPE[0] - 6, 2)
        window = np.s_[y - 6 : y + 7, x - 6 : x + 7]
        height = RMS * 10 ** rng.uniform(0, 2)
        frame[window] += height * np.exp(-((X[window] - x) ** 2 + (Y[window] - y) ** 2) / 3.9)
    return frame


def across(angle_deg, distance):
    """Distance of every pixel from a line, about the middle of the frame."""
    angle = math.radians(angle_deg)
    return (X - 255.5) * math.cos(angle) + (Y - 255.5) * math.sin(angle) - distance


def trail(angle_deg, distance, height, width=1.4):
    return (height * RMS * np.exp(-0.5 * (across(angle_deg, distance) / width) ** 2)).astype("f4")


def found(frame, usable=EVERYWHERE):
    trails = find_trails(frame, usable, sky_rms=RMS, fwhm_pix=FWHM)
    mask = np.zeros(SHAPE, dtype=bool)
    for one in trails:
        mask |= one.mask(SHAPE)
    return len(trails), mask


@pytest.mark.parametrize("height", [1.2, 3.0, 40.0])
@pytest.mark.parametrize(("angle_deg", "distance"), [(30.0, 80.0), (77.0, -150.0), (166.0, 20.0)])
def test_a_trail_over_the_whole_frame_is_masked(height, angle_deg, distance):
    """1.2 times the noise of one pixel is hard to see by eye."""
    n, mask = found(sky(seed=7) + trail(angle_deg, distance, height))
    gap = np.abs(across(angle_deg, distance))
    assert n == 1
    assert mask[gap < 1.4].mean() > 0.9
    assert not mask[gap > 12.0].any()


def test_a_trail_that_ends_in_the_frame_is_masked_as_far_as_it_goes():
    seen = trail(25.0, 0.0, 4.0) * (Y < 300)
    _, mask = found(sky(seed=9) + seen)
    core = np.abs(across(25.0, 0.0)) < 1.4
    assert mask[core & (Y < 270)].mean() > 0.9
    assert mask[core & (Y > 350)].mean() < 0.05


def test_two_trails_are_two():
    n, mask = found(sky(seed=3) + trail(40.0, 60.0, 3.0) + trail(120.0, -90.0, 3.0))
    assert n == 2
    assert mask[np.abs(across(120.0, -90.0)) < 1.4].mean() > 0.9


def test_nothing_is_found_where_nothing_is():
    assert [found(sky(seed))[0] for seed in range(20)] == [0] * 20


def test_rows_columns_and_spikes_are_no_trails():
    frame = sky(seed=5)
    frame[200] += 5 * RMS
    frame[:, 77:80] += 5 * RMS
    # The spikes of a bright star: a quarter of the frame is the least of a trail.
    spike = trail(45.0, 0.0, 20.0) * (np.hypot(X - 255.5, Y - 255.5) < 50.0)
    assert found(frame + spike)[0] == 0


def test_what_is_not_usable_is_not_looked_at():
    covered = np.abs(across(30.0, 80.0)) > 8.0
    assert found(sky(seed=7) + trail(30.0, 80.0, 40.0), covered)[0] == 0
