"""Vetting of detections: what is too sharp, too narrow, cut by the edge, or there twice."""

import math

import numpy as np
import pytest

from tianyu.pipelines.science.detections import Detections
from tianyu.pipelines.science.vetting import is_covered, is_stellar, without_twins

FWHM = 3.0
NOISE = np.ones((50, 60), np.float32)


def sources(x, y, *, flux=1000.0, peak=None, width=FWHM, snr=100.0):
    """Gaussian stars centred on pixels, if no other peak is given."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    sigma = FWHM / 2.3548
    star = math.erf(0.5 / (sigma * math.sqrt(2))) ** 2 / (1 - 0.5**4) * np.asarray(flux)
    columns = (flux, star if peak is None else peak, width, 1.0, snr)
    return Detections(x, y, *(np.broadcast_to(np.asarray(c, float), x.shape) for c in columns))


def test_a_star_is_stellar_and_a_pixel_with_twice_its_peak_is_not():
    star = sources([30.0], [20.0])
    assert is_stellar(star, NOISE, FWHM).tolist() == [True]
    hot = sources([30.0], [20.0], peak=2 * star.peak)
    assert is_stellar(hot, NOISE, FWHM).tolist() == [False]


def test_an_excess_within_the_noise_is_forgiven():
    hot = sources([30.0], [20.0], peak=2 * sources([30.0], [20.0]).peak)
    assert is_stellar(hot, 100 * NOISE, FWHM).tolist() == [True]


@pytest.mark.parametrize(
    ("options", "stellar"),
    [
        ({"width": 0.5 * FWHM, "snr": 20.0}, False),
        ({"width": 0.5 * FWHM, "snr": 10.0}, True),
        ({"width": 0.7 * FWHM, "snr": 20.0}, True),
        ({"flux": -5.0, "peak": -20.0}, False),
    ],
)
def test_narrow_light_and_holes_are_no_stars(options, stellar):
    assert is_stellar(sources([30.0], [20.0], **options), NOISE, FWHM).tolist() == [stellar]


def test_a_source_within_one_width_of_the_end_of_coverage_is_cut():
    searched = np.ones((50, 60), bool)
    searched[:, 40:] = False
    found = is_covered(sources([30, 36, 38, 1, 20], [20, 20, 20, 20, 48]), searched, FWHM)
    assert found.tolist() == [True, True, False, False, False]


def test_of_two_within_half_a_width_the_first_stays():
    kept = without_twins(sources([10, 11, 30], [10, 10, 30], flux=[9.0, 8.0, 7.0]), FWHM)
    assert kept.flux.tolist() == [9.0, 7.0]
    assert len(without_twins(sources([10, 12], [10, 10]), FWHM)) == 2


def test_sources_are_taken_in_the_order_of_the_index():
    assert sources([1, 2, 3], [4, 5, 6])[np.array([2, 0])].x.tolist() == [3.0, 1.0]
