"""Bad pixels of masters: those of the list are those that are found, file by file."""

import numpy as np
import pytest

from tianyu.pipelines.bad_pixel_lists import bad_pixel_list, bad_pixels_of
from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.fits.pixels import read_pixels
from tianyu.pipelines.fits.write import write_image_fits
from tianyu.pipelines.science.badpixels import bad_pixels
from tianyu.pipelines.science.masks import MaskBit


@pytest.fixture(scope="module")
def masters():
    rng = np.random.default_rng(4)
    shape = (96, 128)
    bias = rng.normal(300.0, 2.0, shape).astype(np.float32)
    dark = rng.normal(1.0, 0.5, shape).astype(np.float32)
    flat = rng.normal(1.0, 0.01, shape).astype(np.float32)
    bias[3, 4], dark[50, 60], dark[3, 4] = 900.0, 400.0, np.nan
    flat[70, 80], flat[0, 0], flat[95, 127] = 0.02, 1.9, np.nan
    return {"bias": bias, "dark": dark, "flat": flat}


@pytest.fixture
def files(masters, tmp_path):
    for kind, pixels in masters.items():
        arrays = [(kind.upper(), pixels), *bad_pixel_list(kind, pixels)]
        write_image_fits(tmp_path / f"{kind}.fits", arrays, {})
    return {kind: tmp_path / f"{kind}.fits" for kind in masters}


@pytest.mark.parametrize("listed", [(), ("bias",), ("dark", "flat"), ("bias", "dark", "flat")])
def test_lists_and_looking_agree(masters, files, listed):
    found = bad_pixels_of(masters, {kind: files[kind] for kind in listed})
    np.testing.assert_array_equal(found, bad_pixels(**masters))
    assert found[70, 80] == MaskBit.NO_FLAT
    assert found[50, 60] == MaskBit.BAD
    assert np.count_nonzero(found) == 5


def test_the_image_is_read_as_before(masters, files):
    for kind, path in files.items():
        np.testing.assert_array_equal(read_pixels(path), masters[kind])


def test_masters_of_two_shapes_are_refused(masters, files):
    other = {**masters, "flat": masters["flat"][:64]}
    with pytest.raises(UnusableDataError, match="one shape"):
        bad_pixels_of(other, files)


def test_a_master_that_nothing_can_be_told_of_has_no_list(caplog):
    assert bad_pixel_list("dark", np.full((40, 40), np.nan, np.float32)) == []
    assert "no list of bad pixels" in caplog.text
