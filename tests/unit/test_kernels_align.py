"""Compiled kernels against their plain references: votes for a shift, pairs of stars, maps."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tianyu.pipelines.science.align import align
from tianyu.pipelines.science.alignment import AlignmentError
from tianyu.pipelines.science.kernels.aligning import align_method
from tianyu.pipelines.science.kernels.shiftvotes import tally as compiled_tally
from tianyu.pipelines.science.pairs import MIN_STARS, plain_pairing
from tianyu.pipelines.science.shift import tally
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.transform import AffineTransform

SHAPE = (1000, 1200)


def star_list(x, y, flux):
    order = np.argsort(-flux, kind="stable")
    ones = np.ones(len(x))
    error = 0.02 + 3.0 / flux
    columns = (x, y, flux, flux / 9, 3 * ones, ones, error)
    return StarList.from_columns(np.array([c[order] for c in columns]), len(x), 10.0)


def two_lists(seed, n, lost, turn_deg, flip):
    """Stars of a field and most of them as another frame sees them, with noise and some others."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform((0, 0), SHAPE[::-1], (n, 2)).T
    flux = rng.pareto(1.2, n) * 300 + 100
    angle = math.radians(turn_deg + (180.0 if flip else 0.0))
    cos, sin = math.cos(angle), math.sin(angle)
    from_x, from_y = x - 600.0, y - 500.0
    seen_x = 600.0 + cos * from_x - sin * from_y + rng.uniform(-80, 80)
    seen_y = 500.0 + sin * from_x + cos * from_y + rng.uniform(-80, 80)
    seen_x, seen_y = seen_x + rng.normal(0, 0.03, n), seen_y + rng.normal(0, 0.03, n)
    there = rng.random(n) >= lost
    return star_list(x, y, flux), star_list(seen_x[there], seen_y[there], flux[there] * 0.9)


def outcome(*lists, **how):
    try:
        return align(*lists, SHAPE, **how)
    except AlignmentError as error:
        return str(error)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(4, 160),
    st.sampled_from([0.0, 0.4, 0.8]),
    st.sampled_from([0.0, 0.01, 0.3]),
    st.booleans(),
)
def test_frames_land_where_the_plain_functions_put_them(seed, n, lost, turn_deg, flip):
    lists = two_lists(seed, n, lost, turn_deg, flip)
    expected, found = outcome(*lists), outcome(*lists, method=align_method())
    if isinstance(expected, str):
        assert found == expected
        return
    assert found.n_matched == expected.n_matched
    for name, tolerance in (("a", 1e-11), ("b", 1e-11), ("c", 1e-11), ("d", 1e-11)):
        wanted = getattr(expected.transform, name)
        assert getattr(found.transform, name) == pytest.approx(wanted, abs=tolerance)
    assert found.transform.tx == pytest.approx(expected.transform.tx, abs=1e-8)
    assert found.transform.ty == pytest.approx(expected.transform.ty, abs=1e-8)
    assert found.residual_rms_pix == pytest.approx(expected.residual_rms_pix, rel=1e-9)
    assert found.transparency == expected.transparency


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 40), st.floats(5.0, 900.0))
def test_votes_are_counted_alike_ties_and_empty_lists_included(seed, n, m, farthest):
    rng = np.random.default_rng(seed)
    # On a grid many shifts have as many votes.
    reference = rng.integers(0, 12, (n, 2)) * 50.0
    frame = rng.integers(0, 12, (m, 2)) * 50.0
    for limit in (farthest, math.inf):
        expected = np.hstack(tally(reference, frame, limit, 4.0))
        found = np.hstack(compiled_tally(reference, frame, limit, 4.0))
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def pairs_or_none(pairing, transform, radius_pix):
    try:
        pairs = pairing(transform, radius_pix)
    except AlignmentError:
        return None
    return list(zip(pairs.i.tolist(), pairs.j.tolist(), strict=True))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.floats(0.5, 300.0))
def test_each_star_is_in_the_pair_that_the_tree_finds(seed, n, radius_pix):
    rng = np.random.default_rng(seed)
    reference, frame = (
        star_list(*rng.uniform(0, 500, (2, k)), np.full(k, 500.0)) for k in (n, n + 7)
    )
    shift = AffineTransform.translation(3.0, -2.0)
    expected = pairs_or_none(plain_pairing(reference, frame), shift, radius_pix)
    assert pairs_or_none(align_method().pairing(reference, frame), shift, radius_pix) == expected


@pytest.mark.parametrize("affine", [False, True])
def test_stars_on_a_line_get_the_map_of_the_plain_function(affine):
    x = np.linspace(0, 900, 20)
    stars = star_list(x, 0.5 * x, np.linspace(900, 500, 20))
    method = align_method()
    pairs = method.pairing(stars, stars)(AffineTransform.identity(), 2.0)
    assert len(pairs) == 20 > MIN_STARS
    fit = method.fit(pairs, affine=affine)
    moved = fit.transform.apply(stars.x, stars.y)
    np.testing.assert_allclose(moved, (stars.x, stars.y), atol=1e-8)
