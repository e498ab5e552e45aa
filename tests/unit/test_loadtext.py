"""The text of a file for LOAD DATA says what the numbers are."""

import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tianyu.schema.loadtext import text_of_numbers

singles = st.floats(width=32)


def cells(*columns):
    """Return the texts of each column."""
    lines = text_of_numbers([np.asarray(column) for column in columns]).decode().splitlines()
    return list(zip(*(line.split("\t") for line in lines), strict=True))


@given(st.lists(singles, min_size=1))
@example([float(np.finfo(np.float32).max), float(np.finfo(np.float32).smallest_subnormal)])
@example([0.0, -0.0, 1.0, 10.0, 9.9999990, 1e10, 99999997952.0])
def test_numbers_of_single_precision_come_back(values):
    (texts,) = cells(np.array(values, np.float32))
    for text, value in zip(texts, values, strict=True):
        if np.isfinite(value):
            assert np.float32(text) == np.float32(value)
            assert abs(float(text)) <= float(np.finfo(np.float32).max)
        else:
            assert text == r"\N"


def test_every_power_of_ten_and_its_neighbours():
    powers = np.array([float(f"1e{n}") for n in range(-45, 39)], np.float32)
    near = [powers, np.nextafter(powers, np.float32(np.inf)), np.nextafter(powers, np.float32(0))]
    values = np.concatenate(near)
    (texts,) = cells(values)
    np.testing.assert_array_equal(np.array([float(t) for t in texts]).astype(np.float32), values)


@given(st.lists(st.floats(), min_size=1))
def test_doubles_keep_all_digits(values):
    (texts,) = cells(np.array(values))
    expected = [repr(value) if np.isfinite(value) else r"\N" for value in values]
    assert list(texts) == expected


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.uint64])
@given(data=st.data())
def test_whole_numbers(dtype, data):
    limits = np.iinfo(dtype)
    values = data.draw(st.lists(st.integers(int(limits.min), int(limits.max)), min_size=1))
    (texts,) = cells(np.array(values, dtype))
    assert [int(text) for text in texts] == values


def test_truths_are_ones_and_zeros():
    assert [int(text) for text in cells(np.array([True, False]))[0]] == [1, 0]


def test_columns_stand_beside_each_other():
    flux = np.array([1.5, np.nan, -2e-9], np.float32)
    number, value, run = cells(np.array([-1, 20, 300]), flux, np.full(3, 7))
    assert [int(text) for text in number] == [-1, 20, 300]
    assert [int(text) for text in run] == [7, 7, 7]
    assert value[1] == r"\N"
    assert np.float32(value[2]) == np.float32(-2e-9)


def test_the_order_of_bytes_of_the_machine_is_no_matter():
    swapped = np.array([1.5, 1e-20], np.float32).astype(
        f"{'>' if sys.byteorder == 'little' else '<'}f4"
    )
    assert [float(text) for text in cells(swapped)[0]] == pytest.approx([1.5, 1e-20])
