"""Master frames: worked means and modes, injected flats recovered, bad pixels found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.masters import (
    FlatMethod,
    bad_pixels,
    choose_flat_method,
    clipped_mean_frame,
    flat_levels,
    master_flat,
    mean_frame,
)

SHAPE = (150, 130)


def readers(frames):
    """Frames as readers of rows, big-endian as in a FITS file."""
    return [lambda start, stop, f=frame: f[start:stop] for frame in frames]


def response(shape=SHAPE, seed=0):
    """A vignetted flat with 1 % pixel-to-pixel variation and mean 1."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    radius2 = (x / shape[1] - 0.5) ** 2 + (y / shape[0] - 0.5) ** 2
    flat = (1 - 0.4 * radius2) * np.random.default_rng(seed).normal(1, 0.01, shape)
    return flat / flat.mean()


def exposures(levels, *, bias=300.0, stars=False, seed=1):
    """Raw flats at the given levels, Poisson noise at gain 1, stars if wanted."""
    rng = np.random.default_rng(seed)
    frames = []
    for level in levels:
        light = response() * level
        if stars:
            for y, x in rng.integers(3, np.array(SHAPE) - 4, (40, 2)):
                light[y - 2 : y + 3, x - 2 : x + 3] += 0.2 * level
        frames.append((rng.poisson(light) + bias).astype(">u2"))
    return frames


# Mean frames.


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


# Flats.


def test_weighted_mean_worked_by_hand():
    """Flats (1, 3) and (6, 2), levels 2 and 4: (1 + 6, 3 + 2)/6 = (7/6, 5/6)."""
    flats = readers([np.array([[1.0, 3.0]]), np.array([[6.0, 2.0]])])
    flat = master_flat(flats, (1, 2), method=FlatMethod.WEIGHTED_MEAN)
    np.testing.assert_allclose(flat.pixels, [[7 / 6, 5 / 6]], rtol=1e-6)
    np.testing.assert_array_equal(flat.levels, [2, 4])
    assert (flat.method, flat.n_frames) == (FlatMethod.WEIGHTED_MEAN, 2)


def test_mode_worked_by_hand():
    """Normalised columns (1, 1, 1.3) and (1, 1, 0.7): 3·1 − 2·1.1 = 0.8 and 3·1 − 2·0.9 = 1.2."""
    frames = [np.array([[10.0, 10.0]]), np.array([[20.0, 20.0]]), np.array([[13.0, 7.0]])]
    flat = master_flat(readers(frames), (1, 2), method=FlatMethod.MODE)
    np.testing.assert_allclose(flat.pixels, [[0.8, 1.2]], rtol=1e-6)


def test_bias_and_scaled_dark_are_taken_off():
    """1000 − 300 − 2·50 = 600 and 800 − 300 − 1·50 = 450."""
    bias, dark = np.full((2, 2), 300, np.float32), np.full((2, 2), 50, np.float32)
    flats = readers([np.full((2, 2), 1000, ">u2"), np.full((2, 2), 800, ">u2")])
    levels = flat_levels(flats, (2, 2), bias=bias, dark=dark, dark_scales=np.array([2.0, 1.0]))
    np.testing.assert_array_equal(levels, [600, 450])


@pytest.mark.parametrize("method", list(FlatMethod))
def test_recovers_an_injected_flat(method):
    """Nine flats of 20 000 electrons: 0.24 % by the mean, two to two and a half times by mode."""
    levels = np.linspace(18000, 22000, 9)
    bias = np.full(SHAPE, 300, np.float32)
    flat = master_flat(readers(exposures(levels)), SHAPE, method=method, bias=bias)
    noise = (flat.pixels - response()).std()
    expected = 1 / np.sqrt(levels.sum())
    low, high = (1.8, 2.7) if method is FlatMethod.MODE else (0.9, 1.15)
    assert low * expected < noise < high * expected
    assert flat.pixels.mean(dtype=float) == pytest.approx(1.0, abs=1e-6)
    assert flat.pixels.dtype == np.float32


def test_clipped_mean_worked_by_hand():
    """A star doubles one pixel of the third flat; the other two alone say 1."""
    frames = [np.full((8, 8), level) for level in (100.0, 200.0, 300.0)]
    frames[2][4, 4] *= 2
    flat = master_flat(
        readers(frames), (8, 8), method=FlatMethod.CLIPPED_MEAN, levels=np.array([100.0, 200, 300])
    )
    np.testing.assert_allclose(flat.pixels, 1.0, rtol=1e-6)


def test_what_an_isolated_star_leaves_in_each_method():
    """A star of +27 % in one of nine flats: +3 % in the mean, −6 % in Pearson's mode.

    With one outlier s among n values 3·median − 2·mean is 1 − 2s/n.
    """
    shape = (40, 40)
    frames = [np.full(shape, 1000.0) for _ in range(9)]
    frames[0][4, 4] += 270
    left = {
        method: master_flat(readers(frames), shape, method=method).pixels[4, 4] - 1
        for method in FlatMethod
    }
    assert left[FlatMethod.WEIGHTED_MEAN] == pytest.approx(0.03, abs=0.001)
    assert left[FlatMethod.MODE] == pytest.approx(-0.06, abs=0.001)
    assert left[FlatMethod.CLIPPED_MEAN] == pytest.approx(0.0, abs=0.001)


def test_clipped_mean_recovers_the_flat_under_the_stars_of_twilight():
    levels = np.geomspace(8000, 40000, 9)
    flats, bias = readers(exposures(levels, stars=True)), np.full(SHAPE, 300, np.float32)
    error = {
        method: (master_flat(flats, SHAPE, method=method, bias=bias).pixels - response()).std()
        for method in FlatMethod
    }
    assert error[FlatMethod.CLIPPED_MEAN] < 0.25 * error[FlatMethod.WEIGHTED_MEAN]
    assert error[FlatMethod.CLIPPED_MEAN] < 1.4 / np.sqrt(levels.sum())


@pytest.mark.parametrize("method", list(FlatMethod))
def test_strips_and_known_levels_make_no_difference(method):
    flats = readers(exposures([9000, 10000, 15000]))
    whole = master_flat(flats, SHAPE, method=method, strip_rows=1000)
    strips = master_flat(flats, SHAPE, method=method, strip_rows=7)
    known = master_flat(flats, SHAPE, method=method, levels=whole.levels)
    np.testing.assert_allclose(strips.pixels, whole.pixels, rtol=1e-6)
    np.testing.assert_array_equal(known.pixels, whole.pixels)


def test_a_pixel_not_finite_in_one_flat_is_nan_and_spoils_no_other():
    frames = [frame.astype(np.float32) for frame in exposures([9000, 10000, 15000])]
    frames[1][5, 6] = np.nan
    flat = master_flat(readers(frames), SHAPE, method=FlatMethod.MODE)
    assert np.argwhere(~np.isfinite(flat.pixels)).tolist() == [[5, 6]]


def test_dead_pixels_do_not_shift_the_mean_of_the_good_ones():
    frames = [frame.astype(np.float32) for frame in exposures([10000, 10000], bias=0)]
    for frame in frames:
        frame[:30] = 0
    flat = master_flat(readers(frames), SHAPE, method=FlatMethod.WEIGHTED_MEAN)
    assert flat.pixels[30:].mean(dtype=float) == pytest.approx(1.0, abs=1e-6)


def test_refuses_flats_without_light_or_levels_that_do_not_match():
    dark = readers([np.full((2, 2), 300.0)])
    with pytest.raises(UnusableDataError, match="flat 1 has a mean of 0 ADU"):
        master_flat(dark, (2, 2), method=FlatMethod.MODE, bias=np.full((2, 2), 300, np.float32))
    with pytest.raises(UnusableDataError, match="2 levels for 1 flats"):
        master_flat(dark, (2, 2), method=FlatMethod.MODE, levels=np.array([1.0, 2.0]))
    with pytest.raises(UnusableDataError, match="no frames"):
        master_flat([], (2, 2), method=FlatMethod.MODE)


@pytest.mark.parametrize(
    ("levels", "exposures_s", "method"),
    [
        ([17832, 18525, 18610], None, FlatMethod.WEIGHTED_MEAN),  # a lamp
        ([8000, 12000, 20000], None, FlatMethod.MODE),  # a morning
        ([20000, 20000, 20000], [1.0, 1.5, 2.2], FlatMethod.MODE),  # an evening, kept at level
        ([10000, 20000, 30000], [1.0, 2.0, 3.0], FlatMethod.WEIGHTED_MEAN),  # a lamp's linearity
        ([8000, 20000], None, FlatMethod.WEIGHTED_MEAN),  # too few for a mode
        ([], None, FlatMethod.WEIGHTED_MEAN),
    ],
)
def test_method_follows_the_change_of_light(levels, exposures_s, method):
    exposures_s = None if exposures_s is None else np.array(exposures_s)
    assert choose_flat_method(np.array(levels, float), exposures_s) is method


# Bad pixels.


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
