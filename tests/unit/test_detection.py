"""Detection on templates: injected stars found where they are, residues and edges refused."""

import math

import numpy as np
import pytest
from scipy.signal import oaconvolve

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.detection import detect_sources
from tianyu.pipelines.science.detections import Detections
from tianyu.pipelines.science.extraction import filtered_noise, lowered_filter, stellar_filter
from tianyu.pipelines.science.matching import match_positions
from tianyu.pipelines.science.vetting import joined
from tianyu.pipelines.simulation import MoffatPsf, render_stars

SIGMA = 1.4
"""Width of the injected stars: FWHM 3.3 px."""

NOISE = 4.0


def add_stars(pixels, x, y, flux, sigma=SIGMA):
    """Add Gaussian stars, sampled at pixel centres, in place."""
    offset = np.arange(-10, 11)
    for xs, ys, f in zip(x, y, np.broadcast_to(flux, np.shape(x)), strict=True):
        column, row = round(float(xs)), round(float(ys))
        profile_x = np.exp(-0.5 * ((offset + column - xs) / sigma) ** 2)
        profile_y = np.exp(-0.5 * ((offset + row - ys) / sigma) ** 2)
        stamp = f * np.outer(profile_y, profile_x) / (2 * math.pi * sigma**2)
        pixels[row - 10 : row + 11, column - 10 : column + 11] += stamp


def grid(shape, step, seed=0):
    """Give sub-pixel positions on a jittered grid, well apart and inside."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[30 : shape[0] - 30 : step, 30 : shape[1] - 30 : step]
    return (p.ravel() + rng.uniform(-3, 3, p.size) for p in (x, y))


def blank(shape=(300, 320), seed=1):
    return np.random.default_rng(seed).normal(100.0, NOISE, shape).astype(np.float32)


def full(template, n=10):
    return np.full(template.shape, n, dtype=np.int32)


def matched(sources: Detections, x, y, radius=1.0):
    known = np.column_stack([x, y])
    return match_positions(known, np.column_stack([sources.x, sources.y]), radius)


def test_every_bright_star_is_found_within_a_fiftieth_of_a_pixel():
    template = blank()
    x, y = grid(template.shape, 32)
    flux = np.geomspace(1e4, 1e5, len(x))
    add_stars(template, x, y, flux)
    found = detect_sources(template, full(template))
    index = matched(found, x, y)
    assert sorted(index.tolist()) == list(range(len(x)))
    assert np.hypot(found.x - x[index], found.y - y[index]).max() < 0.02
    # within one FWHM of a Gaussian lies 1 − 2⁻⁴ of the light
    np.testing.assert_allclose(found.flux, 0.9375 * flux[index], rtol=0.03)
    np.testing.assert_allclose(found.fwhm_pix, 2.3548 * SIGMA, rtol=0.05)
    assert found.fwhm_pix_median == pytest.approx(2.3548 * SIGMA, rel=0.03)
    assert found.elongation.max() < 1.1
    assert (np.diff(found.flux) <= 0).all()


def test_the_faint_limit_is_where_the_threshold_says():
    """Matched signal-to-noise F/(2σ√π·noise): nearly all stars of 8, hardly any of 3, at 5σ."""
    for snr, low, high in ((8.0, 0.97, 1.0), (3.0, 0.0, 0.1)):
        template = blank((420, 420), seed=3)
        x, y = grid(template.shape, 20)
        bright_x, bright_y = np.array([15.0, 15.0, 15.0, 15.0, 15.0]), np.arange(60, 360, 60) + 0.3
        add_stars(template, x, y, snr * 2 * SIGMA * math.sqrt(math.pi) * NOISE)
        add_stars(template, bright_x, bright_y, 3e4)
        found = detect_sources(template, full(template))
        fraction = (matched(found, x, y, 1.5) >= 0).sum() / len(x)
        assert low <= fraction <= high


def test_noise_alone_is_no_source():
    template = blank((600, 600), seed=4)
    assert len(detect_sources(template, full(template))) <= 1


def test_two_stars_two_widths_apart_are_two_sources():
    template = blank()
    add_stars(template, [150.2, 157.0], [140.0, 140.4], [4e4, 2e4])
    add_stars(template, *grid(template.shape, 60), 2e4)
    found = detect_sources(template, full(template))
    assert sorted(matched(found, [150.2, 157.0], [140.0, 140.4], 0.3).tolist())[-2:] == [0, 1]


def test_hot_pixels_are_no_stars_beside_faint_stars_that_are():
    template = blank(seed=5)
    x, y = grid(template.shape, 40)
    add_stars(template, x, y, 1500.0)
    rng = np.random.default_rng(6)
    hot_x, hot_y = rng.integers(5, 295, 60), rng.integers(5, 295, 60)
    template[hot_y, hot_x] += rng.uniform(100, 5000, 60).astype(np.float32)
    found = detect_sources(template, full(template))
    at_hot = matched(found, hot_x.astype(float), hot_y.astype(float), 0.5)
    near_star = matched(found, x, y, 1.5)
    assert ((at_hot >= 0) & (near_star < 0)).sum() <= 1
    assert (near_star >= 0).sum() >= 0.9 * len(x)


def test_the_edge_of_coverage_is_no_source_and_hides_none_inside():
    """The frames drifted: a border with NaN, one of few frames and more noise, a full middle."""
    rng = np.random.default_rng(7)
    count = np.zeros((300, 320), dtype=np.int32)
    count[20:280, 20:300] = 4
    count[60:240, 60:260] = 16
    scale = NOISE * np.sqrt(16.0 / np.maximum(count, 1))
    template = (100.0 + rng.normal(0.0, 1.0, count.shape) * scale).astype(np.float32)
    x, y = grid(template.shape, 25)
    add_stars(template, x, y, 3000.0)
    template[count == 0] = np.nan
    found = detect_sources(template, count)
    index = matched(found, x, y)
    assert (index >= 0).all()
    inside = (x > 66) & (x < 254) & (y > 66) & (y < 234)
    assert set(np.flatnonzero(inside)) <= set(index.tolist())
    assert (count[np.rint(found.y).astype(int), np.rint(found.x).astype(int)] == 16).all()


def test_thin_coverage_is_searched_at_its_own_noise():
    """With a quarter of the frames the noise doubles; it must not rain false sources there."""
    rng = np.random.default_rng(8)
    count = np.full((400, 400), 16, dtype=np.int32)
    count[:, 200:] = 4
    template = rng.normal(0.0, 1.0, count.shape) * NOISE * np.sqrt(16.0 / count)
    template = template.astype(np.float32)
    x, y = grid(template.shape, 50)
    add_stars(template, x, y, 6000.0)
    found = detect_sources(template, count, min_coverage=0.2)
    assert (matched(found, x, y) < 0).sum() <= 1
    deep, thin = np.median(found.snr[found.x < 190]), np.median(found.snr[found.x > 210])
    assert deep == pytest.approx(2 * thin, rel=0.15)


@pytest.mark.parametrize("part_stars", [False, True])
def test_a_core_that_saturates_in_every_frame_is_one_source_at_its_centre(part_stars):
    template = blank(seed=9)
    add_stars(template, *grid(template.shape, 60), 2e4)
    add_stars(template, [163.3], [138.6], 5e6, sigma=2.5)
    count = full(template)
    core = template > 30_000
    template[core], count[core] = np.nan, 0
    found = detect_sources(template, count, part_stars=part_stars)
    # 15 px away begins a star of the grid.
    near = np.hypot(found.x - 163.3, found.y - 138.6) < 12
    assert near.sum() == 1
    assert np.hypot(found.x - 163.3, found.y - 138.6).min() < 0.5


def test_a_core_that_is_full_in_every_frame_is_one_source_at_its_centre():
    """Flat at 5000, as wide as four stars: not the ring of sources that its rim looks like."""
    template = blank(seed=9)
    add_stars(template, *grid(template.shape, 60), 2e4)
    add_stars(template, [163.3], [138.6], 3e6, sigma=2.5)
    np.minimum(template, 5000.0, out=template)
    found = detect_sources(template, full(template), part_stars=True)
    near = np.hypot(found.x - 163.3, found.y - 138.6)
    assert np.count_nonzero(near < 12) == 1
    assert near.min() < 0.5
    assert found.peak.max() < 5000.0, "peaks are those of the template"


def test_stars_of_a_crowded_field_are_parted_from_the_wings_of_others():
    """Of 325 stars without a brighter one within two widths 99 % are found, and nothing else.

    The matched filter alone, behind which they are parts of large isophotes, finds 56 %.
    """
    n, size, fwhm = 400, 400, 3.3
    rng = np.random.default_rng(12)
    x, y = rng.uniform(20, size - 20, (2, n))
    flux = 10 ** (5.2 - 2.0 * rng.power(1.6, n))
    light = render_stars((size, size), x, y, flux, MoffatPsf(fwhm))
    noise = np.sqrt(NOISE**2 + light / 50.0)
    template = (light + rng.normal(100.0, noise)).astype(np.float32)
    found = detect_sources(template, full(template), part_stars=True)
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    apart = np.where(flux > flux[:, None], distance, np.inf).min(axis=1) > 2 * fwhm
    nearest = np.hypot(found.x[:, None] - x, found.y[:, None] - y)
    assert (nearest[:, apart].min(axis=0) < 1.5).mean() > 0.97
    assert (nearest.min(axis=1) > 2.5).sum() <= 1


def test_a_template_without_noise_is_searched_all_the_same():
    template = np.zeros((200, 200), dtype=np.float32)
    add_stars(template, [60.0, 120.5], [80.0, 140.25], [1000.0, 500.0])
    found = detect_sources(template, full(template))
    assert matched(found, [60.0, 120.5], [80.0, 140.25], 0.05).tolist() == [0, 1]


@pytest.mark.parametrize("fwhm", [1.2, 2.1, 3.7, 8.0])
def test_the_lowered_filter_sees_neither_level_nor_slope(fwhm):
    kernel = lowered_filter(fwhm)
    half = kernel.shape[0] // 2
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    for light in (np.ones_like(x), x, y):
        assert abs((kernel * light).sum()) < 1e-12
    assert kernel[half, half] == kernel.max() > 0.0


def test_broad_sources_are_kept_where_no_sharp_one_is_near():
    def at(*x):
        column = np.array(x, dtype=float)
        return Detections(*[column] * 7)

    assert joined(at(10.0, 20.0), at(11.0, 15.0, 40.0), 3.0).x.tolist() == [10, 20, 15, 40]
    assert joined(at(), at(3.0), 3.0).x.tolist() == joined(at(3.0), at(), 3.0).x.tolist() == [3]


def with_drifting_pattern(template, seed=20, steps=24):
    """Add what stays on the detector while the field drifts: streaks of the noise's own size."""
    pattern = np.random.default_rng(seed).normal(0.0, 1.0, template.shape)
    drifted = [np.roll(pattern, (k, k // 2), axis=(0, 1)) for k in range(steps)]
    streaks = np.mean(drifted, axis=0)
    return template + (NOISE * streaks / streaks.std()).astype(np.float32)


def test_a_pattern_that_drifted_makes_no_sources_and_hides_no_bright_star():
    template = blank((500, 500))
    x, y = grid(template.shape, 64)
    add_stars(template, x, y, 2e3)
    template = with_drifting_pattern(template)
    found = detect_sources(template, full(template))
    assert sorted(matched(found, x, y, 1.5).tolist()) == list(range(len(x)))
    assert len(found) <= len(x) + 2


def test_the_noise_behind_a_filter_is_known_for_white_noise_and_streaks():
    clear = np.ones((400, 400), bool)
    noise = np.full(clear.shape, NOISE, np.float32)
    white = blank(clear.shape) - np.float32(100.0)
    kernel = stellar_filter(3.3)
    assert filtered_noise(white, noise, clear, kernel) == pytest.approx(1.0, abs=0.03)
    streaked = with_drifting_pattern(white)
    behind = oaconvolve(streaked, kernel, mode="same").std() / np.sqrt((kernel**2).sum()) / NOISE
    assert behind > 1.8
    assert filtered_noise(streaked, noise, clear, kernel) == pytest.approx(behind, rel=0.03)


def test_a_crowded_template_does_not_overflow_the_extractor():
    template = blank((500, 500), seed=10)
    rng = np.random.default_rng(11)
    add_stars(template, *rng.uniform(12, 488, (2, 1000)), 10 ** rng.uniform(2.5, 5, 1000))
    found = detect_sources(template, full(template))
    assert 500 < len(found) < 1000
    assert len(detect_sources(template, full(template), part_stars=True)) > 1.2 * len(found)
    assert np.isfinite(found.x).all()


def test_the_arrays_of_the_caller_stay_as_they_are():
    template = blank()
    template[0, 0] = np.nan
    before = template.copy()
    detect_sources(template, full(template))
    np.testing.assert_array_equal(template, before)


def test_an_uncovered_template_is_refused():
    with pytest.raises(UnusableDataError, match="no frame covers"):
        detect_sources(np.full((50, 50), np.nan, np.float32), np.zeros((50, 50), np.int32))


@pytest.mark.parametrize("options", [{"threshold_sigma": 0.0}, {"min_coverage": 1.5}])
def test_thresholds_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match="threshold_sigma"):
        detect_sources(blank(), full(blank()), **options)


def test_a_count_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="one image"):
        detect_sources(blank(), np.ones((3, 3), np.int32))
