"""Saturation found from the data's own ceiling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.science.saturation import HighestCounts


def ceiling(*frames: np.ndarray) -> float | None:
    counts = HighestCounts()
    for frame in frames:
        counts = counts.including(frame)
    return counts.ceiling


def frame(peak: int, n_pixels: int) -> np.ndarray:
    raw = np.full((8, 8), 300, np.uint16)
    raw.reshape(-1)[:n_pixels] = peak
    return raw


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([frame(4095, 3)], 4095.0),
        ([frame(4095, 2)], None),
        ([frame(4095, 2), frame(4095, 1)], 4095.0),
        ([frame(4095, 5), frame(4096, 1)], None),
        ([frame(1000, 1), frame(4095, 5), frame(900, 30)], 4095.0),
        ([], None),
    ],
)
def test_counts_pile_up_on_a_ceiling(frames: list[np.ndarray], expected: float | None) -> None:
    assert ceiling(*frames) == expected


def test_what_is_not_a_number_is_ignored() -> None:
    raw = frame(4095, 4).astype(np.float32)
    raw[7] = [np.nan, np.inf, np.nan, np.inf, np.inf, np.inf, 1.0, 2.0]
    assert ceiling(raw) == 4095.0
    assert ceiling(np.full((3, 3), np.nan, np.float32)) is None


@given(st.permutations([(4095, 1), (4095, 2), (4000, 9), (3, 1)]))
def test_the_order_of_frames_does_not_matter(order: list[tuple[int, int]]) -> None:
    assert ceiling(*(frame(*peak) for peak in order)) == 4095.0
