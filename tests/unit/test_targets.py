"""Registered targets among the sources of a template."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.science.detections import Detections
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.science.wcs import LinearWcs
from tianyu.pipelines.targets import TargetPosition, with_targets

FWHM_PIX = 3.0
SHAPE = 90, 100
WCS = LinearWcs(150.0, 25.0, 50.0, 50.0, -1 / 3600, 0.0, 0.0, 1 / 3600)
FOUND = [(20.0, 30.0), (70.0, 40.0)]


def detections(xy=FOUND):
    x, y = np.array(xy, dtype=float).reshape(-1, 2).T
    ones = np.ones(len(x))
    return Detections(x, y, 100 * ones, 10 * ones, 3 * ones, ones, 50 * ones)


def locate(*targets, xy=FOUND, origin=(0, 0), transforms=None, wcs=None):
    return with_targets(
        detections(xy), targets, origin=origin, shape=SHAPE, transforms=transforms or {},
        wcs=wcs, fwhm_pix=FWHM_PIX,
    )  # fmt: skip


def test_without_targets_the_detections_are_all():
    sources = locate(origin=(-5, 10))
    assert sources.x.tolist() == [15.0, 65.0]
    assert sources.y.tolist() == [40.0, 50.0]
    assert (sources.target_of, sources.n_forced) == ({}, 0)


def test_a_target_is_the_nearest_detection_within_two_fwhm():
    sources = locate(TargetPosition(target_id=9, x=73.0, y=44.0))
    assert sources.target_of == {1: 9}
    assert sources.n_forced == 0


def test_farther_away_it_is_measured_where_it_was_placed():
    sources = locate(TargetPosition(target_id=9, x=76.1, y=40.0))
    assert sources.target_of == {2: 9}
    assert (sources.x[2], sources.y[2], sources.n_forced) == (76.1, 40.0, 1)
    assert np.isnan([sources.flux[2], sources.peak[2], sources.snr[2]]).all()


def test_two_targets_on_one_detection_both_get_a_light_curve():
    near = TargetPosition(target_id=1, x=20.0, y=30.0)
    beside = TargetPosition(target_id=2, x=22.0, y=30.0)
    sources = locate(near, beside)
    assert sources.target_of == {0: 1, 2: 2}
    assert (sources.x[2], sources.n_forced) == (22.0, 1)


def test_a_pixel_of_a_frame_is_carried_to_the_reference():
    """Worked by hand: the frame shows the reference shifted by (+4, −2)."""
    transforms = {5: AffineTransform.translation(4.0, -2.0)}
    target = TargetPosition(target_id=9, image_id=5, x=74.0, y=38.0)
    assert locate(target, transforms=transforms).target_of == {1: 9}


@given(
    angle=st.floats(-3.2, 3.2),
    scale=st.floats(0.9, 1.1),
    shift=st.tuples(st.floats(-300, 300), st.floats(-300, 300)),
)
def test_whatever_the_transform_the_star_is_found(angle, scale, shift):
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    transform = AffineTransform(cos, -sin, sin, cos, *shift)
    x, y = transform.apply(np.array([70.0]), np.array([40.0]))
    target = TargetPosition(target_id=9, image_id=5, x=float(x[0]), y=float(y[0]))
    assert locate(target, transforms={5: transform}).target_of == {1: 9}


def test_a_position_on_the_sky_is_found_by_the_wcs():
    ra, dec = WCS.to_sky(np.array([70.0]), np.array([40.0]))
    target = TargetPosition(target_id=9, ra_deg=float(ra[0]), dec_deg=float(dec[0]))
    assert locate(target, wcs=WCS).target_of == {1: 9}


def test_a_pixel_says_more_than_coordinates():
    target = TargetPosition(target_id=9, x=20.0, y=30.0, ra_deg=150.0, dec_deg=25.0)
    assert locate(target, wcs=WCS).target_of == {0: 9}


@pytest.mark.parametrize(
    "target",
    [
        TargetPosition(target_id=9),
        TargetPosition(target_id=9, ra_deg=150.0, dec_deg=25.0),
        TargetPosition(target_id=9, x=20.0),
    ],
)
def test_a_target_of_which_nothing_tells_is_left_out(target):
    sources = locate(target)
    assert (sources.target_of, sources.n_forced) == ({}, 0)


def test_a_target_on_the_far_side_of_the_sky_is_left_out():
    target = TargetPosition(target_id=9, ra_deg=330.0, dec_deg=-25.0)
    assert locate(target, wcs=WCS).n_forced == 0


@pytest.mark.parametrize("transforms", [{}, {5: None}])
def test_a_pixel_in_a_frame_that_is_not_aligned_is_told(transforms):
    target = TargetPosition(target_id=9, image_id=5, x=1.0, y=1.0)
    sources = locate(target, transforms=transforms)
    assert "image 5, which could not be aligned; give it in another" in sources.not_found[9]
    assert (sources.target_of, len(sources.x)) == ({}, 2)


@pytest.mark.parametrize(
    ("x", "y", "is_on"),
    [(-5.4, 20.0, True), (-5.6, 20.0, False), (94.4, 99.4, True), (94.6, 20.0, False),
     (20.0, 9.4, False), (20.0, 99.6, False)],
)  # fmt: skip
def test_a_target_beside_the_template_is_told_and_not_measured(x, y, is_on):
    """The template is 100×90 pixels, its first one at (−5, 10) of the reference frame."""
    sources = locate(TargetPosition(target_id=9, x=x, y=y), origin=(-5, 10))
    assert sources.n_forced == int(is_on)
    assert (9 in sources.not_found) is not is_on
    if not is_on:
        assert "the stack reaches from (-5, 10) to (94, 99)" in sources.not_found[9]


def test_but_not_where_coordinates_tell():
    ra, dec = WCS.to_sky(np.array([70.0]), np.array([40.0]))
    target = TargetPosition(
        target_id=9, image_id=5, x=1.0, y=1.0, ra_deg=float(ra[0]), dec_deg=float(dec[0])
    )
    assert locate(target, transforms={5: None}, wcs=WCS).target_of == {1: 9}


def test_on_an_empty_template_every_target_is_forced():
    sources = locate(TargetPosition(target_id=9, x=1.0, y=2.0), xy=[])
    assert (sources.target_of, sources.n_forced) == ({0: 9}, 1)
    assert (sources.x.tolist(), sources.y.tolist()) == ([1.0], [2.0])


def test_the_detections_are_not_changed():
    found = detections()
    with_targets(
        found,
        [TargetPosition(target_id=9, x=1.0, y=2.0)],
        origin=(3, 4),
        shape=SHAPE,
        transforms={},
        wcs=None,
        fwhm_pix=FWHM_PIX,
    )
    assert found.x.tolist() == [20.0, 70.0]
