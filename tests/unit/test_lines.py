"""Lines through points: found at their place, and never in what chance makes."""

import math

import numpy as np
import pytest

from tianyu.pipelines.science.lines import Line, propose_lines

SIDE, RADIUS = 120, 0.5 * 120 * math.sqrt(2)


def scattered(n, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(-SIDE // 2, SIDE // 2, (2, n)).astype(float)


def along(line, n, seed):
    t = np.random.default_rng(seed).uniform(-SIDE / 2, SIDE / 2, n)
    x = line.distance * math.cos(line.angle) - t * math.sin(line.angle)
    y = line.distance * math.sin(line.angle) + t * math.cos(line.angle)
    return np.rint([x, y])


@pytest.mark.parametrize("angle_deg", [1.0, 37.0, 90.0, 152.0, 179.5])
@pytest.mark.parametrize("distance", [-31.0, 0.0, 20.0])
def test_a_line_of_forty_points_among_four_hundred_is_found(angle_deg, distance):
    line = Line(math.radians(angle_deg), distance)
    x, y = np.hstack([along(line, 40, seed=2), scattered(400, seed=3)])
    first = propose_lines(x, y, SIDE**2, RADIUS)[0]
    off = first.angle - line.angle
    turned = abs(off) > math.pi / 2  # 179.5° is −0.5° on the other side
    assert abs(math.sin(off)) < 0.05
    assert (-first.distance if turned else first.distance) == pytest.approx(distance, abs=2.5)


def test_chance_proposes_nothing():
    lines = [propose_lines(*scattered(400, seed), SIDE**2, RADIUS) for seed in range(40)]
    assert sum(map(len, lines)) == 0


def test_one_line_is_proposed_once_and_two_are_two():
    one, two = Line(0.6, 10.0), Line(2.0, -20.0)
    x, y = along(one, 60, seed=1)
    assert len(propose_lines(x, y, SIDE**2, RADIUS)) == 1
    x, y = np.hstack([along(one, 60, seed=1), along(two, 60, seed=2)])
    assert len(propose_lines(x, y, SIDE**2, RADIUS)) >= 2


def test_no_points_no_lines():
    assert propose_lines(np.empty(0), np.empty(0), 100, 10.0) == []
