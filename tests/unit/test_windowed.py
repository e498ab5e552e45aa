"""Windowed moments: centres, widths and fluxes of Gaussian stars, and what is no star."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.science.windowed import centroid_errors, measure_peaks

SHAPE = (61, 71)
CLEAR = np.zeros(SHAPE, np.uint8)


def gaussian(x, y, sigma_x, sigma_y, height=1000.0):
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    r2 = ((column - x) / sigma_x) ** 2 + ((row - y) / sigma_y) ** 2
    return (height * np.exp(-0.5 * r2)).astype(np.float32)


def measured(image, mask=CLEAR):
    return measure_peaks(image, mask, np.array([image.argmax()]))


@given(
    x=st.floats(29.5, 30.5), y=st.floats(29.5, 30.5), sigma=st.floats(1.3, 3.0),
    stretch=st.floats(1.0, 1.4),
)  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_a_gaussian_star_is_measured_as_it_is(x, y, sigma, stretch):
    """Centre to 0.005 px; width, elongation and flux (2πσ₁σ₂ × height) to 2 %."""
    table, is_star = measured(gaussian(x, y, stretch * sigma, sigma))
    assert is_star.tolist() == [True]
    assert table[:2, 0] == pytest.approx([x, y], abs=0.005)
    mean_sigma = np.sqrt(stretch) * sigma
    expected = [2 * np.pi * mean_sigma**2 * 1000, 2.3548 * mean_sigma, stretch]
    assert table[[2, 4, 5], 0] == pytest.approx(expected, rel=0.02)


def test_a_lone_pixel_and_a_trail_are_no_stars():
    lone = np.zeros(SHAPE, np.float32)
    lone[30, 30] = 1000.0
    for image in (lone, gaussian(30, 30, 15.0, 1.3)):
        table, is_star = measured(image)
        assert table.shape == (6, 0)
        assert is_star.tolist() == [False]


def test_masked_pixels_count_as_sky_and_the_image_stays_as_it_was():
    image, mask = gaussian(30, 30, 2.0, 2.0), CLEAR.copy()
    image[36, 36], mask[36, 36] = 1e6, 1
    before = image.copy()
    table, _ = measure_peaks(image, mask, np.array([30 * SHAPE[1] + 30]))
    assert table[:2, 0] == pytest.approx([30, 30], abs=0.01)
    np.testing.assert_array_equal(image, before)


def test_no_peaks_give_an_empty_table():
    table, is_star = measure_peaks(np.zeros(SHAPE, np.float32), CLEAR, np.empty(0, np.int64))
    assert (table.shape, is_star.shape) == ((6, 0), (0,))
    assert centroid_errors(table[4], table[2], np.empty(0)).shape == (0,)


def test_the_error_of_a_centroid_is_its_scatter():
    """Star of 5000 and σ = 2 px, noise 5: 5.0133·4·5/5000 = 0.0201 px, over 300 frames."""
    rng, clean = np.random.default_rng(3), gaussian(30.2, 29.9, 2.0, 2.0, 5000 / (8 * np.pi))
    tables = [
        measured(clean + rng.normal(0.0, 5.0, SHAPE).astype(np.float32))[0] for _ in range(300)
    ]
    x = np.array([table[0, 0] for table in tables])
    error = centroid_errors(np.array([2 * 2.35482]), np.array([5000.0]), np.array([5.0]))
    assert error[0] == pytest.approx(0.02005, rel=1e-3)
    assert x.std() == pytest.approx(error[0], rel=0.2)
