"""Cutting a night into groups of frames that follow each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.errors import InvalidParametersError
from tianyu.pipelines.science.timegroups import MAX_STRETCH, TimeScale, consecutive_groups

MINUTE = 1 / 1440


def groups(minutes, text):
    jd = 2460000.5 + np.array(minutes) * MINUTE
    return [g.tolist() for g in consecutive_groups(jd, TimeScale.parse(text))]


def test_five_frames_each_and_what_is_left():
    assert groups(range(12), "5") == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11]]


def test_ten_minutes_each_from_its_first_frame():
    """Frames every 3 minutes: 0, 3, 6, 9 are within 10 minutes, 12 is not."""
    assert groups(range(0, 21, 3), "10min") == [[0, 1, 2, 3], [4, 5, 6]]


def test_a_full_stretch_later_is_the_next_group():
    assert groups([0, 5, 10, 15, 20], "10 min") == [[0, 1], [2, 3], [4]]


def test_a_gap_ends_a_group_of_frames():
    """Worked by hand: 4 frames a minute apart may span 8 minutes, not an hour."""
    assert groups([0, 1, 2, 60, 61, 62, 63, 64], "4") == [[0, 1, 2], [3, 4, 5, 6], [7]]


def test_a_rejected_frame_does_not():
    assert groups([0, 1, 3, 4, 5, 6], "4") == [[0, 1, 2, 3], [4, 5]]


@given(
    steps=st.lists(st.floats(0.2, 90), max_size=60),
    text=st.sampled_from(["2", "5", "7", "1min", "12.5min"]),
)
def test_every_frame_is_in_one_group_in_order_and_none_is_stretched(steps, text):
    minutes = np.cumsum([0.0, *steps])
    found = groups(minutes, text)
    assert [i for group in found for i in group] == list(range(len(minutes)))
    scale = TimeScale.parse(text)
    for group in found:
        span = minutes[group[-1]] - minutes[group[0]]
        if scale.minutes is not None:
            assert span < scale.minutes + 1e-3
        else:
            assert len(group) <= scale.n_frames
            typical = np.median(np.diff(minutes)) if len(minutes) > 1 else 0.0
            assert span <= MAX_STRETCH * scale.n_frames * typical + 1e-3


@pytest.mark.parametrize("text", ["", "0", "1", "-5", "2.5", "0min", "5 h", "five"])
def test_what_is_no_time_scale(text):
    with pytest.raises(InvalidParametersError, match=r"give a number of frames from 2 on"):
        TimeScale.parse(text)


def test_no_frame_no_group():
    assert groups([], "5") == []
