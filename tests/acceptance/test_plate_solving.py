"""A real frame without a WCS, found on the sky offline; its stars matched and calibrated."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import sep
from astropy.io import fits
from tests.acceptance.realdata import real_data

from tianyu.pipelines.catalogues.files import read_catalogue_file
from tianyu.pipelines.platesolving import Hints, index_files, solve_stars
from tianyu.pipelines.science.crossmatch import nearest_stars
from tianyu.schema.settings import load_settings

TARGET = np.array([31.042825]), np.array([46.687837])
PIXEL = 328.5, 337.6


@pytest.fixture(scope="module")
def tycho_files() -> list[Path]:
    files = [p for p in index_files(load_settings().index_folders) if "tycho2" in p.name]
    if not files or importlib.util.find_spec("astrometry") is None:
        pytest.skip("needs pip install 'tianyu[solve]' and Debian's astrometry-data-tycho2")
    return files


@pytest.fixture(scope="module")
def stars() -> tuple[np.ndarray, np.ndarray]:
    """Stars of the frame in which the target's pixel is known, brightest first."""
    (path,) = real_data("hatp32").glob("*171220041512*")
    with fits.open(path) as hdus:
        pixels = hdus[1].data.astype(np.float32)
    background = sep.Background(pixels)
    found = sep.extract(pixels - background, 8.0, err=background.globalrms)
    found = found[(found["npix"] > 5) & (found["peak"] > 0)]
    order = np.argsort(-found["flux"])
    return found["x"][order], found["y"][order]


@pytest.mark.real_data
@pytest.mark.parametrize("hints", [Hints(5.1, 31.04, 46.69), Hints()], ids=["hints", "blind"])
def test_a_frame_of_hatp32_is_found_offline(tycho_files, stars, hints: Hints) -> None:
    solved = solve_stars(*stars, hints, tycho_files)
    wcs = solved.solution.wcs
    assert wcs.pixel_scale_arcsec == pytest.approx(5.166, abs=0.01)
    assert solved.solution.rms_arcsec < 2.0
    assert solved.solution.n_stars >= 20
    x, y = wcs.to_pixel(*TARGET)
    assert np.hypot(x[0] - PIXEL[0], y[0] - PIXEL[1]) < 0.7


@pytest.mark.real_data
def test_gaia_stars_of_a_file_stand_where_the_frame_has_them(tycho_files, stars) -> None:
    """The brightest Gaia stars were no part of the solution."""
    solved = solve_stars(*stars, Hints(5.1, 31.04, 46.69), tycho_files)
    gaia = read_catalogue_file(real_data("hatp32").parent / "hatp32_gaia_dr3_G10.csv")
    ra, dec = solved.solution.wcs.to_sky(*stars)
    found = nearest_stars(ra[:300], dec[:300], gaia.ra_deg, gaia.dec_deg,
                          match_arcsec=8.0, search_arcsec=60.0)  # fmt: skip
    first = found.separation_arcsec[found.number == 1]
    assert len(first) >= 10
    assert np.median(first) < 2.0
