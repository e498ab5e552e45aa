"""Pairs of stars and the maps fitted to them: worked turns, outliers dropped, errors believed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from tianyu.pipelines.science.alignment import AlignmentError, half_turn
from tianyu.pipelines.science.mapfit import MIN_STARS_AFFINE, fit_map
from tianyu.pipelines.science.pairs import StarPairs, pair_stars
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.transform import AffineTransform

IDENTITY = AffineTransform.identity()


def pairs_of(transform, n=40, noise=0.0, seed=0, weight=100.0):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 1000, (2, n))
    moved_x, moved_y = transform.apply(x, y)
    error = noise * (rng.normal(size=n) + 1j * rng.normal(size=n))
    i = np.arange(n)
    return StarPairs(i, i, x + 1j * y, moved_x + 1j * moved_y + error, np.full(n, weight))


def stars_at(x, y):
    x, y = np.asarray(x, float), np.asarray(y, float)
    ones = np.ones(len(x))
    return StarList(x, y, ones, ones, ones, ones, 0.02 * ones)


def parameters(transform):
    return [getattr(transform, name) for name in ("a", "b", "c", "d", "tx", "ty")]


@given(st.floats(-math.pi, math.pi), st.floats(0.9, 1.1), st.floats(-500, 500))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("affine", [False, True])
def test_a_similarity_without_noise_is_recovered_exactly(affine, angle, scale, shift):
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    truth = AffineTransform(cos, -sin, sin, cos, shift, -2 * shift)
    fit = fit_map(pairs_of(truth), affine=affine)
    assert parameters(fit.transform) == pytest.approx(parameters(truth), abs=1e-8)
    assert fit.rms_pix < 1e-8


def test_only_an_affine_map_follows_a_shear_and_its_criterion_says_so():
    sheared = pairs_of(AffineTransform(1.0, 0.01, 0.0, 1.0, 5.0, 6.0), noise=0.1)
    similarity, affine = (fit_map(sheared, affine=a, clip=False) for a in (False, True))
    assert affine.criterion < similarity.criterion
    assert (similarity.rms_pix > 1.0, affine.rms_pix < 0.2) == (True, True)


def test_without_a_shear_the_similarity_has_the_better_criterion():
    plain = pairs_of(IDENTITY, noise=0.1)
    similarity, affine = (fit_map(plain, affine=a, clip=False) for a in (False, True))
    assert similarity.criterion < affine.criterion


def test_a_wrong_pair_is_left_out_and_the_rest_kept():
    pairs = pairs_of(IDENTITY, n=MIN_STARS_AFFINE + 1, noise=0.1)
    pairs.target[5] += 30.0
    fit = fit_map(pairs, affine=False)
    assert 5 not in fit.pairs.i
    assert len(fit.pairs) >= MIN_STARS_AFFINE - 1
    assert len(fit_map(pairs, affine=False, clip=False).pairs) == MIN_STARS_AFFINE + 1


def test_the_closest_stars_are_paired_and_each_is_in_one_pair_at_most():
    """Star 1 of the reference is nearest to the frame's star 0 too, which star 0 has."""
    reference = stars_at([10, 10.6, 50, 90, 30], [10, 10, 50, 90, 70])
    frame = stars_at([10.1, 50.2, 90, 30, 400], [10, 50, 90, 70, 400])
    pairs = pair_stars(reference, frame, cKDTree(frame.xy), IDENTITY, 2.0)
    assert sorted(zip(pairs.i.tolist(), pairs.j.tolist(), strict=True)) == [
        (0, 0), (2, 1), (3, 2), (4, 3),
    ]  # fmt: skip
    np.testing.assert_allclose(pairs.weight, 1 / (3 * 0.02**2))


def test_fewer_than_four_pairs_are_refused():
    reference = stars_at([10, 50, 90, 30], [10, 50, 90, 70])
    frame = stars_at([10, 50, 90, 330], [10, 50, 90, 70])
    with pytest.raises(AlignmentError, match=r"only 3 stars match within 2\.0 px, 4 are needed"):
        pair_stars(reference, frame, cKDTree(frame.xy), IDENTITY, 2.0)


def test_two_half_turns_are_none():
    turn = half_turn((101, 203))
    assert parameters(turn.compose(turn)) == pytest.approx(parameters(IDENTITY))
