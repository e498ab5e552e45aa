"""Strips of rows: every row once, NaN for what is not finite, mixed shapes refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.strips import read_strip, strips


@given(st.integers(0, 300), st.integers(1, 70))
def test_strips_hold_every_row_once_and_in_order(n_rows, strip_rows):
    ranges = list(strips(n_rows, strip_rows))
    assert [row for rows in ranges for row in range(rows.start, rows.stop)] == list(range(n_rows))
    assert all(rows.stop - rows.start <= strip_rows for rows in ranges)


def test_a_strip_is_float32_with_nan_for_infinity_and_leaves_the_frame_as_it_was():
    frame = np.array([[1.0, 2.0], [np.inf, 4.0], [5.0, 6.0]])
    values = read_strip([lambda start, stop: frame[start:stop]], slice(1, 3), 2)
    np.testing.assert_array_equal(values, np.float32([[[np.nan, 4], [5, 6]]]))
    assert values.dtype == np.float32
    assert frame[1, 0] == np.inf


def test_no_frames_and_rows_of_another_shape_are_refused():
    with pytest.raises(UnusableDataError, match="no frames to combine"):
        read_strip([], slice(0, 2), 3)
    with pytest.raises(UnusableDataError, match=r"rows 0–2 of frame 1 have shape \(2, 4\)"):
        read_strip([lambda start, stop: np.zeros((stop - start, 4))], slice(0, 2), 3)
