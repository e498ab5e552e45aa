"""What a stored star list promises: every bit of it back, and nothing else taken for one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.science.starlist import StarList


@given(n=st.integers(0, 30), seed=st.integers(0, 9), n_detected=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_from_bytes_undoes_to_bytes(n: int, seed: int, n_detected: int) -> None:
    columns = np.random.default_rng(seed).normal(size=(7, n))
    stars = StarList(*columns, n_detected=n_detected, threshold_sigma=7.5)
    back = StarList.from_bytes(stars.to_bytes())
    assert (back.n_detected, back.threshold_sigma) == (n_detected, 7.5)
    for name in ("x", "y", "flux", "peak", "fwhm_pix", "elongation", "error_pix"):
        assert getattr(back, name).tobytes() == getattr(stars, name).tobytes()


def test_two_hundred_stars_take_eleven_kilobytes() -> None:
    assert len(StarList(*np.zeros((7, 200))).to_bytes()) == 22 + 200 * 7 * 8


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda _: b"", "not a star list"),
        (lambda data: b"\x80\x04" + data[2:], "not a star list"),
        (lambda data: data[:-1], "has 581 bytes, not 582"),
        (lambda data: data[:4] + b"\x02\x00" + data[6:], "version 2; this code reads 1"),
    ],
)
def test_other_bytes_are_refused(spoil, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StarList.from_bytes(spoil(StarList(*np.ones((7, 10))).to_bytes()))


def test_brightest_keeps_the_count_of_the_frame() -> None:
    stars = StarList(*np.ones((7, 10)), n_detected=4321)
    assert (stars.brightest(3).count, stars.brightest(3).n_detected) == (3, 4321)
    assert stars.brightest(99).count == 10


def test_an_empty_list_has_no_width() -> None:
    assert np.isnan(StarList(*np.zeros((7, 0))).fwhm_pix_median)


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="equally long"):
        StarList(*np.ones((6, 10)), error_pix=np.ones(9))
