"""Frames without information are refused, and everything that has any is let through."""

import numpy as np
import pytest

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.blank import refuse_blank

FRAME = np.random.default_rng(3).normal(1000, 5, (32, 32))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (np.full((8, 8), np.nan), "no pixel has a value, all are NaN"),
        (np.zeros((8, 8), np.uint16), "every pixel holds 0 ADU"),
        (np.full((8, 8), 65535, np.uint16), "every pixel holds 65535 ADU"),
        (np.where(FRAME > 990, 65535, FRAME), "% of the pixels are saturated, at 65535 ADU"),
    ],
)
def test_a_blank_frame_is_refused_by_name(raw, words):
    with pytest.raises(UnusableDataError, match=r"^a\.fits: ") as caught:
        refuse_blank(raw, "a.fits", sees_light=True)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "raw", [FRAME, FRAME.astype(np.uint16), np.where(FRAME > 1010, np.nan, FRAME)]
)
def test_a_frame_with_a_picture_is_let_through(raw):
    refuse_blank(raw, "a.fits", sees_light=True)


def test_a_bias_of_hardly_any_noise_is_no_saturated_frame():
    quiet = (FRAME > 999).astype(np.uint16) + np.uint16(100)
    refuse_blank(quiet, "bias.fits", sees_light=False)
