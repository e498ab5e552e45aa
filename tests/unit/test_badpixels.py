"""The map of bad pixels: every injected defect, and nothing else."""

import numpy as np
import pytest

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.badpixels import bad_pixels
from tianyu.pipelines.science.masks import MaskBit

SHAPE = (150, 130)


def response(shape=SHAPE, seed=0):
    """A vignetted flat with 1 % pixel-to-pixel variation and mean 1."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    radius2 = (x / shape[1] - 0.5) ** 2 + (y / shape[0] - 0.5) ** 2
    flat = (1 - 0.4 * radius2) * np.random.default_rng(seed).normal(1, 0.01, shape)
    return flat / flat.mean()


def test_finds_injected_bad_pixels_and_nothing_else():
    rng = np.random.default_rng(6)
    glow = np.linspace(0, 60, SHAPE[1])  # amplifier glow is no defect
    dark = (rng.normal(5, 3, SHAPE) + glow).astype(np.float32)
    dark[10, 20] += 100  # hot: 33σ
    dark[11, 20] += 30  # warm: 10σ, well subtracted
    dark[12, 20] = np.nan
    flat = response().astype(np.float32)
    flat[50, 60] = 0.4  # half-dead
    flat[51, 60] = 0.01  # dead
    flat[52, 60] = np.nan
    flat[53, 60] *= 2.8
    bias = rng.normal(300, 2, SHAPE).astype(np.float32)
    bias[70, 80] -= 80
    expected = np.zeros(SHAPE, np.uint8)
    for y, x in ((10, 20), (12, 20), (50, 60), (53, 60), (70, 80)):
        expected[y, x] = MaskBit.BAD
    expected[51, 60] = expected[52, 60] = MaskBit.NO_FLAT
    np.testing.assert_array_equal(bad_pixels(bias=bias, dark=dark, flat=flat), expected)


def test_bad_pixels_need_frames_of_one_shape():
    with pytest.raises(UnusableDataError, match="one shape"):
        bad_pixels()
    with pytest.raises(UnusableDataError, match="one shape"):
        bad_pixels(bias=np.zeros((2, 2), np.float32), dark=np.zeros((2, 3), np.float32))
