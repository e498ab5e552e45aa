"""What rings are made of: order statistics, arcsines, stars struck out; against plain NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.unit.test_kernels_light import SHAPE, compare, frame

from tianyu.pipelines import kernels
from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.apertures import measure_light
from tianyu.pipelines.science.footprints import Footprints
from tianyu.pipelines.science.kernels.arcsine import arcsine
from tianyu.pipelines.science.kernels.light import CompiledLight
from tianyu.pipelines.science.kernels.selection import (
    LANES,
    ZONE,
    compress,
    ranked,
    sort_few,
)
from tianyu.pipelines.science.meshspline import interpolate
from tianyu.pipelines.science.sky import spline_weights
from tianyu.pipelines.science.stamps import UNDER_STAR

ANY_FLOAT = st.one_of(
    st.floats(-30, 30, width=32),
    st.integers(-3, 3).map(np.float32),
    st.sampled_from([0.0, -3e38, 3e38, 1e-40]),
)


@settings(max_examples=60)
@given(
    hnp.arrays(np.float32, st.integers(1, 4).map(lambda n: n * LANES), elements=ANY_FLOAT),
    st.integers(0, LANES - 1),
    st.lists(st.tuples(st.integers(0, 10**6), ANY_FLOAT, ANY_FLOAT), min_size=1, max_size=6),
)
def test_every_rank_is_found_whatever_the_guess(values, n_absent, wanted):
    """Ties, values far apart, guesses that are no use, and what earlier searches have left."""
    values[:n_absent] = np.inf
    n = values.size - n_absent
    zone, held = np.empty(ZONE + 1, np.float32), np.zeros(2, np.int64)
    marks = np.empty(values.size, np.uint8)
    for rank, near, width in wanted:
        guess = np.float32(near), np.float32(width)
        found = ranked(values, n, rank % n, *guess, marks, zone, held)
        assert found == np.sort(values)[rank % n]


@settings(max_examples=40)
@given(
    hnp.arrays(np.float32, st.integers(0, 6).map(lambda n: 8 * n), elements=ANY_FLOAT), st.data()
)
def test_what_is_marked_is_taken_out_and_sorted(values, data):
    marks = data.draw(hnp.arrays(np.uint8, values.size, elements=st.integers(0, 1)))
    kept = np.empty(values.size + 1, np.float32)
    n = compress(values, marks, kept)
    np.testing.assert_array_equal(kept[:n], values[marks == 1])
    sort_few(kept, n)
    np.testing.assert_array_equal(kept[:n], np.sort(values[marks == 1]))


def test_the_arcsine_is_that_of_the_library():
    x = np.concatenate([[0.0, 0.5, 1.0], np.random.default_rng(1).random(1000)])
    found = np.array([arcsine(value) for value in x])
    np.testing.assert_allclose(found, np.arcsin(x), rtol=1e-15, atol=0)


@pytest.mark.parametrize("nodes", [(1, 1), (1, 4), (2, 3), (7, 9)])
def test_four_terms_per_axis_are_the_spline_through_all_nodes(nodes):
    rng = np.random.default_rng(4)
    mesh = rng.normal(1000, 50, nodes).astype(np.float32)
    y, x = (rng.uniform(-3, 11 * n + 4, 50) for n in nodes)
    weights_y, weights_x = (spline_weights(n, 11, at) for n, at in zip(nodes, (y, x), strict=True))
    expected = np.einsum("nj,ji,ni->n", weights_y, mesh, weights_x)
    np.testing.assert_allclose(interpolate(mesh, (11, 11), x, y), expected, rtol=1e-13)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 4.0]), st.sampled_from([1, 30, 300]))
def test_stars_in_rings_are_left_out_as_in_a_marked_frame(seed, fwhm, n_others):
    """Few and many, faint and as bright as disks grow, off the frame and nowhere."""
    pixels, x, y, rng = frame(seed)
    at = rng.uniform(-20, 160, (2, n_others))
    at[:, rng.random(n_others) < 0.1] = np.nan
    peak = 10.0 ** rng.uniform(0, 5, n_others)
    stars = Footprints.of_stars(*at, peak, fwhm_pix=fwhm, sky_rms=5.0)
    clear = np.zeros(SHAPE, np.uint8)
    geometry = ApertureGeometry.from_fwhm(fwhm)
    options = {"sky_rms": 5.0, "gain": 1.5, "fwhm_pix": fwhm}
    found = measure_light(CompiledLight.of(pixels, clear, stars), x, y, geometry, **options)
    marked = CompiledLight.of(pixels, stars.covered(SHAPE) * UNDER_STAR)
    expected = measure_light(marked, x, y, geometry, **options)
    for column in ("flux", "flux_error", "background", "background_rms", "flags"):
        np.testing.assert_array_equal(getattr(found, column), getattr(expected, column))
    compare(pixels, marked.mask, x, y, geometry, **options)


def test_a_source_is_measured_alike_whatever_was_measured_before_it():
    pixels, x, y, _ = frame(8)
    pixels[:, 70:] *= 40  # what is known of one ring misleads about the next
    reader, geometry = (
        CompiledLight.of(pixels, np.zeros(SHAPE, np.uint8)),
        ApertureGeometry((2.0, 3.5), (6.0, 10.0)),
    )
    sky_rms = np.full(len(x), 5.0)
    together = reader.light(x, y, geometry, sky_rms)
    for k in (0, 7, 20):
        alone = reader.light(x[k : k + 1], y[k : k + 1], geometry, sky_rms[k : k + 1])
        assert alone.background[0] == together.background[k]
        np.testing.assert_array_equal(alone.background_rms[0], together.background_rms[k])
        np.testing.assert_array_equal(alone.sums[0], together.sums[k])


def test_a_change_in_any_kernel_makes_another_version(monkeypatch, tmp_path):
    before = kernels.version()
    assert before == kernels.version()
    science = tmp_path / "science" / "kernels"
    science.mkdir(parents=True)
    (science / "one.py").write_text("from tianyu.pipelines.science.annulus import X\n")
    (tmp_path / "science" / "annulus.py").write_text("X = 1\n")
    monkeypatch.setattr(kernels, "__file__", str(tmp_path / "kernels.py"))
    first = kernels.version()
    (tmp_path / "science" / "annulus.py").write_text("X = 2\n")
    assert len({before, first, kernels.version()}) == 3
