"""What finding stars promises: exact places, true widths, and nothing that is no star."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtr

from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.peaks import ISOLATION_PIX
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.stars import find_stars

RMS = 5.0
SHAPE = (160, 200)
FWHM_PER_SIGMA = 2.354820045


def sky(rng: np.random.Generator | None, shape: tuple[int, int] = SHAPE) -> NDArray[np.float32]:
    """Noise of the sky about zero; without a generator, no noise."""
    image = rng.normal(0.0, RMS, shape) if rng else np.zeros(shape)
    return image.astype(np.float32)


def no_mask(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.zeros(image.shape, dtype=np.uint8)


def add_star(
    image: NDArray[np.float32],
    x: float,
    y: float,
    flux: float,
    sigma: float,
    stretch: float = 1.0,
) -> None:
    """Add a Gaussian integrated over pixels, ``stretch`` times as long in x as in y."""
    columns = np.diff(ndtr((np.arange(image.shape[1] + 1) - 0.5 - x) / (sigma * stretch)))
    rows = np.diff(ndtr((np.arange(image.shape[0] + 1) - 0.5 - y) / sigma))
    image += (flux * np.outer(rows, columns)).astype(np.float32)


def grid(step: int = 25) -> list[tuple[float, float]]:
    """Places at all phases of a pixel, a step apart."""
    rng = np.random.default_rng(11)
    return [
        (x + rng.uniform(-0.5, 0.5), y + rng.uniform(-0.5, 0.5))
        for x in range(step, SHAPE[1] - step // 2, step)
        for y in range(step, SHAPE[0] - step // 2, step)
    ]


def field(sigma: float, flux: float, rng: np.random.Generator | None, stretch: float = 1.0):
    image = sky(rng)
    for x, y in grid():
        add_star(image, x, y, flux, sigma, stretch)
    return image


def nearest_error(stars: StarList, x: float, y: float) -> float:
    return float(np.hypot(stars.x - x, stars.y - y).min())


class TestPositions:
    @pytest.mark.parametrize("fwhm_pix", [1.5, 2.0, 3.0, 4.5, 6.0])
    def test_bright_stars_are_placed_to_a_hundredth_of_a_pixel(self, fwhm_pix: float) -> None:
        image = field(fwhm_pix / FWHM_PER_SIGMA, 2e6, None)
        stars = find_stars(image, no_mask(image), RMS)
        assert stars.count == len(grid())
        assert max(nearest_error(stars, x, y) for x, y in grid()) < 0.01

    def test_the_stated_error_is_the_scatter_that_the_sky_causes(self) -> None:
        sigma, flux = 1.5, 4000.0
        errors, stated = [], []
        for seed in range(12):
            image = field(sigma, flux, np.random.default_rng(seed))
            stars = find_stars(image, no_mask(image), RMS)
            for x, y in grid():
                errors.append(stars.x[np.hypot(stars.x - x, stars.y - y).argmin()] - x)
            stated.append(np.median(stars.error_pix))
        # 5.01·σ²·rms/flux = 0.0141 px; some 400 stars give the scatter to 4 %.
        assert np.median(stated) == pytest.approx(5.013 * sigma**2 * RMS / flux, rel=0.10)
        assert np.std(errors) == pytest.approx(np.median(stated), rel=0.15)

    @given(dx=st.integers(-8, 8), dy=st.integers(-8, 8))
    @settings(max_examples=15, deadline=None)
    def test_whole_pixel_shifts_move_stars_by_whole_pixels(self, dx: int, dy: int) -> None:
        image = sky(None, (64, 64))
        add_star(image, 31.3, 32.6, 5e4, 1.4)
        moved = np.roll(image, (dy, dx), axis=(0, 1))
        before, after = (find_stars(i, no_mask(i), RMS) for i in (image, moved))
        assert after.x[0] - before.x[0] == pytest.approx(dx, abs=1e-9)
        assert after.y[0] - before.y[0] == pytest.approx(dy, abs=1e-9)


class TestShapes:
    @pytest.mark.parametrize("fwhm_pix", [1.5, 2.0, 3.0, 4.5, 6.0])
    def test_width_is_the_star_s_with_the_pixel_s(self, fwhm_pix: float) -> None:
        sigma = fwhm_pix / FWHM_PER_SIGMA
        image = field(sigma, 2e5, np.random.default_rng(1))
        stars = find_stars(image, no_mask(image), RMS)
        seen = FWHM_PER_SIGMA * np.sqrt(sigma**2 + 1 / 12)  # a pixel's variance is 1/12
        assert stars.fwhm_pix_median == pytest.approx(seen, rel=0.02)
        assert stars.elongation_median == pytest.approx(1.0, abs=0.05)

    def test_trailed_stars_are_elongated(self) -> None:
        image = field(1.5, 1e5, np.random.default_rng(1), stretch=2.0)
        stars = find_stars(image, no_mask(image), RMS)
        expected = np.sqrt((9 + 1 / 12) / (2.25 + 1 / 12))
        assert stars.n_detected == len(grid())
        assert stars.elongation_median == pytest.approx(expected, rel=0.03)

    def test_flux_is_the_same_in_good_and_bad_seeing(self) -> None:
        sharp, blurred = (
            find_stars(image, no_mask(image), RMS)
            for image in (field(s, 1e5, np.random.default_rng(2)) for s in (0.8, 2.4))
        )
        assert np.median(sharp.flux) == pytest.approx(1e5, rel=0.02)
        assert np.median(blurred.flux) == pytest.approx(1e5, rel=0.02)

    @given(factor=st.floats(0.1, 1000.0))
    @settings(max_examples=15, deadline=None)
    def test_everything_scales_with_the_unit_of_the_image(self, factor: float) -> None:
        image = field(1.5, 3e4, np.random.default_rng(4))
        one = find_stars(image, no_mask(image), RMS)
        other = find_stars(image * np.float32(factor), no_mask(image), RMS * factor)
        assert other.n_detected == one.n_detected
        np.testing.assert_allclose(other.flux, one.flux * factor, rtol=1e-4)
        np.testing.assert_allclose(other.fwhm_pix, one.fwhm_pix, rtol=1e-4)


class TestWhatIsNoStar:
    def test_hot_pixels_and_cosmic_ray_tracks(self) -> None:
        image = field(1.5, 2e4, np.random.default_rng(5))
        image[36, 50] += 3000.0  # hot pixel
        image[87, 60:75] += 2000.0  # track along a row
        for k in range(8):
            image[108 + k, 134 + k] += 2000.0  # and along a diagonal
        image[112:114, 37:39] += 2000.0  # and a stubby one
        stars = find_stars(image, no_mask(image), RMS)
        assert stars.n_detected == stars.count == len(grid())

    def test_a_satellite_neither_counts_nor_spoils_the_width(self) -> None:
        image = field(1.5, 3e4, np.random.default_rng(6))
        clean = find_stars(image, no_mask(image), RMS)
        y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
        image += (150 * np.exp(-(((y - 0.7 * x - 9.0) / 2.5) ** 2))).astype(np.float32)
        trailed = find_stars(image, no_mask(image), RMS)
        assert abs(trailed.n_detected - clean.n_detected) <= 4  # some stars lie under the trail
        assert trailed.fwhm_pix_median == pytest.approx(clean.fwhm_pix_median, rel=0.02)

    def test_pure_noise(self) -> None:
        image = sky(np.random.default_rng(7), (500, 500))
        assert find_stars(image, no_mask(image), RMS).count == 0

    @pytest.mark.parametrize("fwhm_pix", [3.0, 6.0])
    def test_a_bright_star_with_noise_in_its_core_is_one_star(self, fwhm_pix: float) -> None:
        rng = np.random.default_rng(8)
        image = field(fwhm_pix / FWHM_PER_SIGMA, 3e4, None)
        image = (image + rng.normal(0, np.sqrt(RMS**2 + np.maximum(image, 0)))).astype(np.float32)
        assert find_stars(image, no_mask(image), RMS).n_detected == len(grid())

    def test_saturated_stars_are_left_out_and_leave_no_ring_of_peaks(self) -> None:
        image = sky(np.random.default_rng(9))
        add_star(image, 100.0, 80.0, 1e7, 1.8)
        add_star(image, 40.0, 40.0, 2e4, 1.8)
        mask = np.where(image >= 6e4, np.uint8(MaskBit.SATURATED), np.uint8(0))
        stars = find_stars(np.minimum(image, 6e4), mask, RMS)
        assert stars.count == 1
        assert nearest_error(stars, 40.0, 40.0) < 0.05

    def test_a_masked_hot_pixel_does_not_hide_the_star_beside_it(self) -> None:
        image = sky(np.random.default_rng(10))
        add_star(image, 100.0, 80.0, 2e4, 1.5)
        mask = no_mask(image)
        image[80, 103], mask[80, 103] = 1e5, MaskBit.BAD
        stars = find_stars(image, mask, RMS)
        assert nearest_error(stars, 100.0, 80.0) < 0.05

    def test_nan_pixels_are_no_stars_and_do_no_harm(self) -> None:
        image = sky(np.random.default_rng(10))
        add_star(image, 100.0, 80.0, 2e4, 1.5)
        image[:, 20:25] = np.nan
        mask = np.where(np.isfinite(image), np.uint8(0), np.uint8(MaskBit.NOT_FINITE))
        stars = find_stars(image, mask, RMS)
        assert stars.count == 1
        assert np.isfinite(stars.fwhm_pix_median)

    def test_stars_at_the_edge_are_left_out(self) -> None:
        image = sky(None)
        for x in (1.0, ISOLATION_PIX + 2.0):
            add_star(image, x, 80.0 + 10 * x, 2e4, 1.2)
        assert find_stars(image, no_mask(image), RMS).count == 1


class TestCounts:
    def test_list_is_filled_from_lower_thresholds_but_the_count_is_not(self) -> None:
        sigma = 1.5
        image = field(sigma, 7 * RMS * 2 * np.pi * sigma**2, np.random.default_rng(12))  # 7σ peaks
        stars = find_stars(image, no_mask(image), RMS)
        assert stars.n_detected <= 2
        assert stars.count >= 0.9 * len(grid())

    def test_smoothing_finds_what_no_single_pixel_shows(self) -> None:
        sigma = 2.5
        image = field(sigma, 3 * RMS * 2 * np.pi * sigma**2, np.random.default_rng(12))  # 3σ peaks
        stars = find_stars(image, no_mask(image), RMS)
        found = sum(nearest_error(stars, x, y) < 2.0 for x, y in grid())
        assert found >= 0.8 * len(grid())
        assert stars.count - found <= 2

    def test_list_is_cut_to_the_brightest_but_the_count_is_not(self) -> None:
        image = sky(None)
        for k, (x, y) in enumerate(grid()):
            add_star(image, x, y, 1e4 * (k + 1), 1.5)
        stars = find_stars(image, no_mask(image), RMS, max_stars=5)
        assert stars.count == 5
        assert stars.n_detected == len(grid())
        np.testing.assert_allclose(stars.flux, 1e4 * (len(grid()) - np.arange(5)), rtol=0.01)

    def test_noise_may_vary_over_the_frame(self) -> None:
        image = field(1.5, 2e4, np.random.default_rng(3))
        rms = np.full(SHAPE, RMS, dtype=np.float32)
        rms[:, 112:] = 1e4
        half = find_stars(image, no_mask(image), rms)
        assert half.n_detected == sum(x < 112 for x, _ in grid())

    def test_same_arrays_same_list_and_arrays_untouched(self) -> None:
        image = field(1.5, 2e4, np.random.default_rng(3))
        image.flags.writeable = False
        first, second = (find_stars(image, no_mask(image), RMS).to_bytes() for _ in range(2))
        assert first == second


class TestRefusals:
    def test_shapes_that_differ(self) -> None:
        with pytest.raises(ValueError, match=r"\(160, 200\), \(3, 3\)"):
            find_stars(sky(None), np.zeros((3, 3), np.uint8), RMS)

    @pytest.mark.parametrize("rms", [0.0, -1.0, float("nan")])
    def test_noise_that_is_not_positive(self, rms: float) -> None:
        with pytest.raises(ValueError, match="must be positive"):
            find_stars(sky(None), no_mask(sky(None)), rms)
