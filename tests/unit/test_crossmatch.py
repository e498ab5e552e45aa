"""Catalogue stars near sources: motion to the epoch, nearest three, one counterpart each."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.science.crossmatch import move_to_epoch, nearest_stars

ARCSEC = 1.0 / 3600.0


# Astropy takes a star without a parallax for one far away, and says so.
@pytest.mark.filterwarnings("ignore::erfa.ErfaWarning")
@given(
    st.floats(0.0, 359.9), st.floats(-89.9, 89.9), st.floats(-3e3, 3e3), st.floats(-3e3, 3e3),
    st.floats(-30.0, 30.0),
)  # fmt: skip
def test_proper_motion_as_by_astropy(ra, dec, east, north, years) -> None:
    moved = move_to_epoch(*(np.array([v]) for v in (ra, dec, east, north, years)))
    star = SkyCoord(
        ra * u.deg, dec * u.deg, pm_ra_cosdec=east * u.mas / u.yr, pm_dec=north * u.mas / u.yr,
        obstime=Time(2016.0, format="jyear"),
    )  # fmt: skip
    expected = star.apply_space_motion(Time(2016.0 + years, format="jyear"))
    there = SkyCoord(moved[0] * u.deg, moved[1] * u.deg)
    # TDB and UTC years, and an infinitely far star: below 0.1 mas here.
    assert there.separation(expected).to_value(u.mas)[0] < 0.5


def match(sources, stars, **limits):
    options = {"match_arcsec": 2.0, "search_arcsec": 60.0, **limits}
    (ra, dec), (star_ra, star_dec) = np.transpose(sources), np.transpose(stars)
    found = nearest_stars(ra, dec, star_ra, star_dec, **options)
    return list(zip(found.source.tolist(), found.star.tolist(), found.number.tolist(),
                    np.round(found.separation_arcsec, 3).tolist(), strict=True))  # fmt: skip


def test_the_nearest_three_with_their_distances() -> None:
    stars = [(10.0, 1.0 * ARCSEC), (10.0, -5.0 * ARCSEC), (10.0, 20.0 * ARCSEC),
             (10.0, 40.0 * ARCSEC), (11.0, 0.0)]  # fmt: skip
    assert match([(10.0, 0.0)], stars) == [(0, 0, 1, 1.0), (0, 1, 2, 5.0), (0, 2, 3, 20.0)]


def test_a_source_without_a_counterpart_has_no_neighbours() -> None:
    assert match([(10.0, 0.0)], [(10.0, 3.0 * ARCSEC)]) == []


def test_a_star_is_the_counterpart_of_one_source() -> None:
    sources = [(10.0, 1.5 * ARCSEC), (10.0, -0.5 * ARCSEC)]
    assert match(sources, [(10.0, 0.0)]) == [(1, 0, 1, 0.5)]


def test_across_the_zero_of_right_ascension_and_at_the_pole() -> None:
    assert match([(0.0, 0.0)], [(360.0 - 1.0 * ARCSEC, 0.0)]) == [(0, 0, 1, 1.0)]
    near_pole = 90.0 - 1.0 * ARCSEC
    across = match([(0.0, near_pole)], [(180.0, near_pole)], match_arcsec=3.0)
    assert across == [(0, 0, 1, 2.0)]


@pytest.mark.parametrize(("sources", "stars"), [([(np.nan, 1.0)], [(1.0, 1.0)])])
def test_nothing_to_match(sources, stars) -> None:
    assert match(sources, stars) == []
    none = nearest_stars(np.ones(1), np.ones(1), np.empty(0), np.empty(0),
                         match_arcsec=1.0, search_arcsec=1.0)  # fmt: skip
    assert none.source.size == 0
