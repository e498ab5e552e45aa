"""Master bias and dark: worked means, cosmic rays clipped."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.masters import clipped_mean_frame, mean_frame

SHAPE = (150, 130)


def readers(frames):
    """Frames as readers of rows, big-endian as in a FITS file."""
    return [lambda start, stop, f=frame: f[start:stop] for frame in frames]


def test_mean_of_unsigned_integers_is_exact_and_does_not_wrap():
    """(65535 + 65535 + 65534)/3 = 65534.667; (1 + 2 + 2)/3 = 1.6667."""
    frames = [np.array([[a, b]], ">u2") for a, b in ((65535, 1), (65535, 2), (65534, 2))]
    np.testing.assert_array_equal(mean_frame(frames), np.float32([[65534 + 2 / 3, 5 / 3]]))


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 9), st.just(3), st.just(4))), st.randoms())
def test_mean_does_not_depend_on_order(frames, random):
    shuffled = random.sample(list(frames), len(frames))
    np.testing.assert_array_equal(mean_frame(iter(frames)), mean_frame(shuffled))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_pixel_not_finite_in_one_frame_is_nan_in_the_mean(value):
    frames = [np.ones((2, 2)), np.array([[1, value], [1, 1]])]
    np.testing.assert_array_equal(mean_frame(frames), [[1, np.nan], [1, 1]])


def test_mean_refuses_no_frames_and_mixed_shapes():
    with pytest.raises(UnusableDataError, match="no frames"):
        mean_frame([])
    with pytest.raises(UnusableDataError, match=r"frame 2 has shape \(1, 2\)"):
        mean_frame([np.zeros((2, 2)), np.zeros((1, 2))])


# Darks with cosmic rays.


def test_cosmic_rays_are_clipped_and_the_rest_is_the_mean():
    rng = np.random.default_rng(3)
    darks = rng.normal(20, 5, (5, *SHAPE))
    clean = darks.mean(axis=0)
    rays = [(number, 10 * number + 3, 17) for number in range(5)]
    for number, y, x in rays:
        darks[number, y, x] += 400
    master = clipped_mean_frame(readers(darks), SHAPE)
    for _, y, x in rays:
        assert abs(master[y, x] - 20) < 4 * 5 / 2
    # Normal noise is left alone, apart from a few pixels whose median lies far off.
    assert np.mean(np.abs(master - clean) > 1e-3) < 0.001


def test_a_hot_pixel_with_its_own_noise_is_not_clipped():
    darks = np.random.default_rng(4).normal(20, 5, (5, *SHAPE))
    darks[:, 40, 40] = [900, 1000, 1100, 950, 1050]
    assert clipped_mean_frame(readers(darks), SHAPE)[40, 40] == pytest.approx(1000)


@pytest.mark.parametrize("n_frames", [1, 2])
def test_of_two_frames_none_can_be_called_an_outlier(n_frames):
    frames = [np.full((4, 4), 10.0), np.full((4, 4), 5000.0)][:n_frames]
    np.testing.assert_array_equal(
        clipped_mean_frame(readers(frames), (4, 4)), np.mean(frames, axis=0)
    )


def test_clipped_mean_refuses_no_frames_and_wrong_rows():
    with pytest.raises(UnusableDataError, match="no frames"):
        clipped_mean_frame([], SHAPE)
    with pytest.raises(UnusableDataError, match=r"rows 0–4 of frame 1 have shape \(4, 3\)"):
        clipped_mean_frame(readers([np.zeros((4, 3))]), (4, 4))
