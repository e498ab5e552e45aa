"""The clip of a pixel's values: outliers found, noise and hot pixels left alone."""

import numpy as np
import pytest

from tianyu.pipelines.science.clipping import near_median


def test_a_ray_in_one_frame_is_far_and_the_rest_is_near():
    values = np.random.default_rng(2).normal(20, 5, (7, 4, 200)).astype(np.float32)
    values[3, 1, 50] += 200
    far = ~near_median(values)
    assert far[3, 1, 50]
    assert far.sum() <= 3


def test_a_pixel_with_more_noise_is_judged_by_its_own():
    """Beside pixels of ± 1, one of median 1000 that scatters by ± 100: nothing of it is far."""
    values = np.zeros((5, 1, 9), np.float32)
    values[:, 0, ::2] = np.array([-1, 1, 0, 1, -1])[:, np.newaxis]
    values[:, 0, 4] = [900, 1000, 1100, 950, 1050]
    assert near_median(values).all()


@pytest.mark.parametrize(("n_frames", "kept"), [(3, 3), (4, 4), (5, 3), (6, 4)])
def test_two_stars_on_one_pixel_need_three_clean_frames_to_be_seen(n_frames, kept):
    """Values 1.1, 1.3, 1, 1, …: of four, two lie as far from the median as two others."""
    values = np.ones((n_frames, 1, 50), np.float32)
    values[:2, 0, 7] = 1.1, 1.3
    assert near_median(values)[:, 0, 7].sum() == kept


def test_nan_counts_as_near_so_that_it_shows_in_the_mean():
    values = np.ones((3, 1, 9), np.float32)
    values[1, 0, 4] = np.nan
    assert near_median(values).all()
