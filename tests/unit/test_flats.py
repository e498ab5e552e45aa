"""Master flat: worked means and modes, injected flats recovered under the stars of twilight."""

import numpy as np
import pytest

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.flats import FlatMethod, choose_flat_method, flat_levels, master_flat

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
        ([8000, 12000, 20000], None, FlatMethod.MODE),  # a short morning
        ([8000, 12000, 20000, 35000], None, FlatMethod.MODE),
        ([8000, 12000, 20000, 28000, 35000], None, FlatMethod.CLIPPED_MEAN),  # a morning
        ([20000, 20000, 20000], [1.0, 1.5, 2.2], FlatMethod.MODE),  # an evening, kept at level
        ([20000] * 6, [1.0, 1.5, 2.2, 3.3, 5, 8], FlatMethod.CLIPPED_MEAN),  # a long evening
        ([10000, 20000, 30000], [1.0, 2.0, 3.0], FlatMethod.WEIGHTED_MEAN),  # a lamp's linearity
        ([17832] * 9, None, FlatMethod.WEIGHTED_MEAN),  # a lamp, however many
        ([8000, 20000], None, FlatMethod.WEIGHTED_MEAN),  # too few for a mode
        ([], None, FlatMethod.WEIGHTED_MEAN),
    ],
)
def test_method_follows_the_change_of_light(levels, exposures_s, method):
    exposures_s = None if exposures_s is None else np.array(exposures_s)
    assert choose_flat_method(np.array(levels, float), exposures_s) is method


def test_stars_in_two_frames_are_clipped_of_five_and_not_of_four():
    """Values 1, 1, …, 1.1, 1.3: four have a mean of 1.1 and no outlier, five are 1."""
    shape = (40, 40)
    left = {}
    for n in (4, 5):
        frames = [np.full(shape, 1000.0) for _ in range(n)]
        frames[0][4, 4], frames[1][4, 4] = 1100.0, 1300.0
        flat = master_flat(readers(frames), shape, method=FlatMethod.CLIPPED_MEAN)
        left[n] = flat.pixels[4, 4]
    assert left[4] == pytest.approx(1.1, abs=0.001)
    assert left[5] == pytest.approx(1.0, abs=0.001)


def test_the_choice_for_twilight_beats_the_published_mode_in_noise_and_under_stars():
    """Five flats of 8000–40 000 electrons: half the noise of the mode, a quarter of its stars."""
    levels = np.geomspace(8000, 40000, 5)
    bias = np.full(SHAPE, 300, np.float32)
    assert choose_flat_method(levels) is FlatMethod.CLIPPED_MEAN
    for stars, gain in ((False, 1.9), (True, 4.0)):
        flats = readers(exposures(levels, stars=stars))
        chosen, mode = (
            (master_flat(flats, SHAPE, method=method, bias=bias).pixels - response()).std()
            for method in (FlatMethod.CLIPPED_MEAN, FlatMethod.MODE)
        )
        assert gain * chosen < mode
