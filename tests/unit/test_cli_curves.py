"""Bins, nights and places: the arithmetic behind the light-curve command."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.cli.answers import to_plain
from tianyu.cli.curves.binning import bin_points, nights
from tianyu.cli.curves.places import parse_pixel, parse_sky_place
from tianyu.cli.curves.summary import _typical_radii
from tianyu.schema.errors import ConfigurationError


def test_bins_are_weighted_means() -> None:
    time = 2458107.0 + np.array([0.00, 0.01, 0.02, 0.10, 0.11, 0.12])
    value = np.array([1.0, 1.0, 4.0, 2.0, 2.0, 2.0])
    error = np.array([1.0, 1.0, 0.5, 2.0, 2.0, 2.0])
    bins = bin_points(time, value, error, width_day=0.05)
    # Weights 1, 1, 4: (1 + 1 + 16) / 6 = 3; χ² = 4 + 4 + 4 = 12 for 2 degrees of freedom, so
    # the error 1/√6 grows by √6. The second bin is quieter than its errors: 2/√3 stays.
    assert bins.value.tolist() == [3.0, 2.0]
    assert bins.error == pytest.approx([1.0, 2.0 / np.sqrt(3.0)])
    assert bins.time == pytest.approx([2458107.015, 2458107.11], abs=1e-9)
    assert bins.n_point.tolist() == [3, 3]


def test_bins_of_few_points_are_left_out() -> None:
    ones = np.ones(2)
    assert bin_points(np.array([0.0, 0.1]), ones, ones, 1.0).value.size == 0


def test_what_is_not_finite_does_not_count() -> None:
    value = np.array([1.0, np.nan, 1.0, 1.0, 1.0])
    error = np.array([1.0, 1.0, 0.0, 1.0, 1.0])
    bins = bin_points(np.arange(5.0), value, error, width_day=10.0)
    assert bins.n_point.tolist() == [3]
    nothing = np.full(3, np.nan)
    assert bin_points(nothing, nothing, nothing, 1.0).time.size == 0


def test_bins_need_a_width() -> None:
    with pytest.raises(ValueError, match="positive width"):
        bin_points(np.ones(3), np.ones(3), np.ones(3), 0.0)


@given(st.lists(st.floats(0.0, 30.0), min_size=1, max_size=50))
def test_every_point_lies_in_one_night(times: list[float]) -> None:
    spans = nights(np.array(times))
    for time in times:
        assert sum(start <= time <= end for start, end in spans) == 1
    assert all(after[0] - before[1] > 0.25 for before, after in itertools.pairwise(spans))


@given(st.floats(0.0, 359.999), st.floats(-90.0, 90.0))
def test_degrees_are_read_back_as_written(ra: float, dec: float) -> None:
    assert parse_sky_place(f"{ra!r},{dec!r}") == (ra, dec)


@pytest.mark.parametrize("text", ["", "1", "1,2,3", "ra,dec", "10,-91", "400,0"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_sky_place(text)


def test_negative_zero_degrees_are_south() -> None:
    assert parse_sky_place("00:00:00,-00:30:00") == (0.0, -0.5)


def test_a_pixel_may_be_negative() -> None:
    assert parse_pixel("-0.5,10") == (-0.5, 10.0)


def test_json_has_no_nan() -> None:
    assert to_plain([float("inf"), {"a": float("nan")}, 1.5]) == [None, {"a": None}, 1.5]


def test_apertures_that_follow_the_fwhm_are_one_each() -> None:
    """Two apertures in three frames: by their rank, with the median radius of each."""
    followed = {
        "run_id": np.ones(6, int),
        "source_id": np.ones(6, int),
        "image_id": np.array([1, 2, 3, 1, 2, 3]),
        "radius_pix": np.array([2.0, 2.2, 3.1, 3.0, 3.3, 4.65]),
    }
    assert _typical_radii(followed) == [2.2, 2.2, 2.2, 3.3, 3.3, 3.3]
    fixed = {**followed, "radius_pix": np.array([2.0, 2.0, 2.0, 3.0, 3.0, 3.0])}
    assert _typical_radii(fixed) == fixed["radius_pix"].tolist()
    nights = {**fixed, "run_id": fixed["image_id"], "radius_pix": followed["radius_pix"]}
    assert _typical_radii(nights) == followed["radius_pix"].tolist(), "each run for itself"
