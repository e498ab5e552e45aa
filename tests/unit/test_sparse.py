"""Compact images: what comes back is what was given, in fewer bytes where it can be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tianyu.pipelines.fits.write import write_image_fits
from tianyu.pipelines.lists import as_images, read_list
from tianyu.pipelines.science.sparse import FewPixels, image_of_runs, narrowed, runs_of, widened

SHAPES = array_shapes(min_dims=2, max_dims=2, max_side=12)


@given(data=st.data(), dtype=st.sampled_from([np.int32, np.int64]))
def test_narrowed_sums_come_back_exactly(data, dtype):
    limits = np.iinfo(dtype)
    values = st.integers(-40000, 40000) | st.integers(int(limits.min), int(limits.max))
    image = data.draw(arrays(dtype, SHAPES, elements=values))
    kept = narrowed(image)
    if kept is None:
        assert np.count_nonzero(np.abs(image.astype(float)) > 32766) >= image.size / 6
        return
    back = widened(*kept)
    np.testing.assert_array_equal(back, image)
    assert back.dtype == dtype


@given(image=arrays(np.uint8, SHAPES, elements=st.integers(6, 7)))
def test_runs_come_back_exactly(image):
    runs = runs_of(image)
    if runs is None:
        return
    back = image_of_runs(runs, image.shape)
    np.testing.assert_array_equal(back, image)
    assert back.dtype == image.dtype


def test_counts_that_change_everywhere_stay_an_image():
    assert runs_of(np.arange(256, dtype=np.uint8).reshape(16, 16)) is None


def test_the_runs_of_one_count_are_one():
    runs = runs_of(np.full((50, 40), 64, np.uint8))
    assert (runs.places.tolist(), runs.values.tolist()) == ([1999], [64])


@pytest.mark.parametrize("n", [0, 1, 200])
def test_a_list_survives_its_file(n, tmp_path):
    rng = np.random.default_rng(n)
    image = np.zeros((30, 40), np.float32)
    image.reshape(-1)[rng.choice(image.size, n, replace=False)] = rng.normal(size=n)
    write_image_fits(tmp_path / "list.fits", as_images("PATTERN", FewPixels.of(image, image)), {})
    pixels, n_bytes = read_list(tmp_path / "list.fits", "PATTERN")
    back = np.zeros_like(image)
    pixels.put(back)
    np.testing.assert_array_equal(back, image)
    assert n_bytes == 8 * max(n, 1)
