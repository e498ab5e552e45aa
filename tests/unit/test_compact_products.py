"""Stacks and patterns in few bytes come back as they were, and so do those of earlier versions."""

import numpy as np
import pytest

from tianyu.pipelines.context import StepContext
from tianyu.pipelines.fits.write import write_image_fits
from tianyu.pipelines.frames import FrameFile
from tianyu.pipelines.lists import as_images
from tianyu.pipelines.products import Products
from tianyu.pipelines.science.sparse import FewPixels
from tianyu.pipelines.science.stack import Canvas, PartialStack
from tianyu.pipelines.stacking import load_stack, save_stack
from tianyu.pipelines.steps.extract_flux import read_pattern

SHAPE = (120, 150)


@pytest.fixture
def context(tmp_path):
    return StepContext(None, 1, 1, "stack_frames", 1, 1, tmp_path)


def stack_of(n_frames, star_adu):
    rng = np.random.default_rng(n_frames)
    stack = PartialStack.empty(Canvas(-4, -2, SHAPE[1] + 8, SHAPE[0] + 4))
    mask = np.zeros(SHAPE, np.uint8)
    mask[10, 20] = 1
    for i in range(n_frames):
        frame = rng.normal(0.0, 20.0, SHAPE).astype(np.float32)
        frame[40:46, 50:56] += star_adu
        stack.add(frame, mask, dx=i % 3, dy=-(i % 2))
    return stack


def file_of(path, header, shape):
    return FrameFile(
        1,
        "stack",
        path.name,
        path,
        path.stat().st_size,
        shape[1],
        shape[0],
        None,
        None,
        None,
        header,
    )


def saved(context, kind, stack):
    image = save_stack(context, Products(), kind, stack, {"frames": [1, 2]}, exposure_s=20.0)
    return file_of(context.file_of(image.path), image.header, stack.canvas.shape)


def assert_same(back, stack):
    np.testing.assert_array_equal(back.total, stack.total)
    np.testing.assert_array_equal(back.count, stack.count)
    assert (back.canvas, back.n_frames) == (stack.canvas, stack.n_frames)


@pytest.mark.parametrize("star_adu", [0.0, 3000.0, 6e7])
def test_a_partial_stack_comes_back_exactly_from_half_the_bytes(context, star_adu):
    stack = stack_of(9, star_adu)
    file = saved(context, "partial_stack", stack)
    assert_same(load_stack(context, file), stack)
    assert file.size_bytes < 0.6 * (stack.total.nbytes + stack.count.nbytes)
    assert context.traffic.read < file.size_bytes


def test_a_stack_of_a_bright_sky_is_written_as_it_is(context):
    stack = stack_of(2, 0.0)
    stack.total += 40_000
    file = saved(context, "stack", stack)
    assert "is_compact" not in file.header
    assert_same(load_stack(context, file), stack)


def test_stacks_of_earlier_versions_are_read(context, tmp_path):
    stack = stack_of(5, 3000.0)
    arrays = [("SUM", stack.total), ("COUNT", stack.small_count())]
    write_image_fits(tmp_path / "old.fits", arrays, {})
    header = {"canvas_x0": stack.canvas.x0, "canvas_y0": stack.canvas.y0, "n_frames": 5}
    file = file_of(tmp_path / "old.fits", header, stack.canvas.shape)
    assert_same(load_stack(context, file), stack)


@pytest.mark.parametrize("is_list", [True, False])
def test_a_pattern_is_read_once_as_a_list_or_an_image(context, tmp_path, is_list):
    pattern = np.zeros(SHAPE, np.float32)
    pattern[7, 9], pattern[-1, -1] = 3.3, -12.5
    arrays = [("PATTERN", pattern)]
    if is_list:
        arrays = as_images("PATTERN", FewPixels.of(pattern, pattern))
    write_image_fits(tmp_path / "pattern.fits", arrays, {})
    file = file_of(tmp_path / "pattern.fits", {"is_list": True} if is_list else {}, SHAPE)
    for _ in range(2):
        np.testing.assert_array_equal(read_pattern(context, file), pattern)
    assert context.traffic.read == (16 if is_list else pattern.nbytes)
