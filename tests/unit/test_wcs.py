"""First-order world coordinates: against astropy, against themselves, and against nonsense."""

import math
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.science.wcs import LinearWcs, sky_coordinates, standard_coordinates

CARDS = {
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 240.182988801,
    "CRVAL2": 43.1433595832,
    "CRPIX1": 512.0,
    "CRPIX2": 500.0,
}
CD = {"CD1_1": -1.8585e-4, "CD1_2": 3.3e-7, "CD2_1": -3.296e-7, "CD2_2": -1.8609e-4}
CDELT = {"CDELT1": -1.8585e-4, "CDELT2": 1.9e-4}

WAYS = {
    "CD": CD,
    "CD, zeros left out": {"CD1_1": -2e-4, "CD2_2": 2e-4},
    "PC and CDELT": {"PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8, **CDELT},
    "CDELT and CROTA2": {"CROTA2": 25.0, **CDELT},
    "CDELT alone": CDELT,
    "CD beside stale CDELT": {**CD, "CDELT1": 1.0, "CDELT2": 1.0, "CROTA2": 77.0},
}


def read(cards) -> LinearWcs:
    wcs = LinearWcs.from_header(cards)
    assert wcs is not None
    return wcs


def astropy_wcs(cards) -> WCS:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return WCS(fits.Header(cards))


@pytest.mark.parametrize("way", [way for way in WAYS if "stale" not in way])
def test_every_convention_agrees_with_astropy(way):
    cards = {**CARDS, **WAYS[way]}
    x, y = np.array([0.0, 511.0, 1023.0, -300.0]), np.array([0.0, 499.0, 17.5, 2000.0])
    ra, dec = read(cards).to_sky(x, y)
    other_ra, other_dec = astropy_wcs(cards).all_pix2world(x, y, 0)
    np.testing.assert_allclose(ra, other_ra, rtol=0, atol=1e-9)
    np.testing.assert_allclose(dec, other_dec, rtol=0, atol=1e-9)
    back_x, back_y = read(cards).to_pixel(other_ra, other_dec)
    np.testing.assert_allclose(back_x, x, rtol=0, atol=1e-6)
    np.testing.assert_allclose(back_y, y, rtol=0, atol=1e-6)


def test_a_cd_matrix_wins_over_older_keywords():
    assert read({**CARDS, **WAYS["CD beside stale CDELT"]}) == read({**CARDS, **CD})


def test_axes_may_stand_in_either_order():
    swapped = {
        "CTYPE1": "DEC--TAN",
        "CTYPE2": "RA---TAN",
        "CRVAL1": CARDS["CRVAL2"],
        "CRVAL2": CARDS["CRVAL1"],
        "CRPIX1": 512.0,
        "CRPIX2": 500.0,
        "CD1_1": CD["CD2_1"],
        "CD1_2": CD["CD2_2"],
        "CD2_1": CD["CD1_1"],
        "CD2_2": CD["CD1_2"],
    }
    assert read(swapped) == read({**CARDS, **CD})


def test_distortion_is_ignored_and_numbers_may_be_text():
    sip = {**CARDS, **CD, "CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_2_0": 1e-6}
    text = {**CARDS, **CD, "CRVAL1": " 240.182988801"}
    assert read(sip) == read(text) == read({**CARDS, **CD})


@pytest.mark.parametrize(
    "cards",
    [
        {},
        {"RA": 10.0, "DEC": 20.0},
        {"CRVAL1": 1.0, "CRVAL2": 2.0, "CD1_1": 1.0},
        {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"},
        {"CTYPE1": "RA---TAN"},
    ],
)
def test_a_header_without_a_sky_has_no_world_coordinates(cards):
    assert LinearWcs.from_header(cards) is None


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"CRVAL1": None}, "without CRVAL1"),
        ({"CRPIX2": "centre"}, "CRPIX2 = 'centre'"),
        ({"CRVAL2": math.nan}, "CRVAL2"),
        ({"CRVAL2": 143.0}, "not a right ascension"),
        ({"CD1_1": 0.0, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": 0.0}, "arcsec per pixel"),
        ({"CD1_1": 1.0, "CD2_2": 1.0}, "arcsec per pixel"),
        ({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN"}, "not gnomonic"),
        ({"CUNIT1": "arcsec"}, "CUNIT1"),
        ({"RADESYS": "FK4"}, "J2000"),
        ({"EQUINOX": 1950.0}, "J2000"),
        ({"LONPOLE": 0.0}, "LONPOLE"),
    ],
)
def test_nonsense_is_refused_in_words(change, complaint):
    with pytest.raises(UnusableDataError, match=complaint):
        LinearWcs.from_header({**CARDS, **CD, **change})


def test_cards_survive_writing_and_reading():
    wcs = read({**CARDS, **CD})
    assert read(wcs.to_header()) == wcs
    ra, dec = astropy_wcs(wcs.to_header()).all_pix2world([3.0], [4.0], 0)
    np.testing.assert_allclose(wcs.to_sky(np.array([3.0]), np.array([4.0])), [ra, dec], atol=1e-9)


def test_the_pixel_scale_is_that_of_the_telescope():
    # 13 µm over 4002.5 mm is 0.67 arcsec
    assert read({**CARDS, **CD}).pixel_scale_arcsec == pytest.approx(0.67, abs=0.005)


@given(
    st.floats(0.0, 359.999),
    st.floats(-89.0, 89.0),
    st.floats(-3.0, 3.0),
    st.floats(-3.0, 3.0),
)
def test_projection_and_its_inverse_undo_each_other(ra0, dec0, xi, eta):
    ra, dec = sky_coordinates(np.array([xi]), np.array([eta]), ra0, dec0)
    again = standard_coordinates(ra, dec, ra0, dec0)
    np.testing.assert_allclose(np.ravel(again), [xi, eta], rtol=0, atol=1e-10)
    assert 0.0 <= ra[0] < 360.0


def test_standard_coordinates_point_east_and_north():
    xi, eta = standard_coordinates(np.array([10.01, 10.0]), np.array([60.0, 60.01]), 10.0, 60.0)
    # one hundredth of a degree of right ascension is half as much sky at +60°
    np.testing.assert_allclose(xi, [0.005, 0.0], atol=1e-8)
    np.testing.assert_allclose(eta, [0.0, 0.01], atol=1e-6)


def test_the_far_side_of_the_sky_is_nowhere_on_the_detector():
    x, y = read({**CARDS, **CD}).to_pixel(np.array([60.18, 240.18]), np.array([-43.1, 43.1]))
    assert np.isnan(x).tolist() == np.isnan(y).tolist() == [True, False]


def test_the_other_grid_sees_the_same_sky():
    template = read({**CARDS, **CD})
    to_frame = AffineTransform(0.9999, -0.008, 0.008, 0.9999, 37.3, -112.9)
    x, y = np.array([10.0, 900.0]), np.array([20.0, 300.0])
    frame = template.transformed(to_frame)
    np.testing.assert_allclose(
        frame.to_sky(*to_frame.apply(x, y)), template.to_sky(x, y), rtol=0, atol=1e-10
    )
    back = frame.transformed(to_frame.inverse())
    np.testing.assert_allclose(back.to_sky(x, y), template.to_sky(x, y), rtol=0, atol=1e-10)
