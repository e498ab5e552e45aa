"""Which way frames are worked on, and where compiled code is kept."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest

from tianyu.pipelines import kernels, measuring
from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.apertures import measure_light
from tianyu.pipelines.science.apertureshape import ApertureShape
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.light import FrameLight
from tianyu.pipelines.science.overscan import RawFrame
from tianyu.pipelines.stacking import row_adder


@pytest.fixture
def chosen(monkeypatch):
    """Return a function that sets the choice and forgets the one before."""

    def choose(kind):
        monkeypatch.setenv("TIANYU_KERNELS", kind)
        kernels.compiled_kernels.cache_clear()

    yield choose
    kernels.compiled_kernels.cache_clear()


def night_frame():
    counts = np.random.default_rng(2).normal(1000, 9, (96, 96))
    y, x = np.mgrid[:96, :96]
    counts += 3000 * np.exp(-((x - 51.2) ** 2 + (y - 40.9) ** 2) / (2 * 1.4**2))
    return RawFrame(counts.astype(np.uint16))


def test_the_references_are_taken_when_they_are_asked_for(chosen):
    chosen("reference")
    frame = measuring.measure_frame(night_frame(), Calibrator(), sky_box_pix=32)
    assert frame.maxima is None
    assert isinstance(measuring.light_reader(frame.pixels, frame.mask), FrameLight)
    assert row_adder() is None


def test_both_ways_measure_the_same_frame(chosen):
    frames, stars = [], []
    for kind in ("reference", "fast"):
        chosen(kind)
        frames.append(measuring.measure_frame(night_frame(), Calibrator(), sky_box_pix=32))
        stars.append(measuring.stars_of(frames[-1]))
    assert frames[1].maxima is not None
    assert abs(frames[0].pixels - frames[1].pixels).max() < 0.3 * 9
    assert stars[0].count == stars[1].count == 1
    assert stars[0].xy == pytest.approx(stars[1].xy, abs=0.01)


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint32])
def test_what_a_float32_does_not_hold_is_measured_by_the_reference(chosen, dtype):
    chosen("fast")
    raw = RawFrame(night_frame().pixels.astype(dtype))
    assert measuring.measure_frame(raw, Calibrator(), sky_box_pix=32).maxima is None


def test_a_frame_measured_again_in_buffers_is_the_same(chosen):
    chosen("fast")
    buffers, calibrator = measuring.FrameBuffers(), Calibrator()
    first = measuring.measure_frame(night_frame(), calibrator, sky_box_pix=32)
    again = measuring.remeasure_frame(night_frame(), calibrator, first.sky, buffers=buffers)
    np.testing.assert_array_equal(again.pixels, first.pixels)
    assert again.pixels is buffers.pixels


def test_a_frame_that_is_read_row_by_row_is_made_if_somebody_asks(chosen):
    chosen("fast")
    first = measuring.measure_frame(night_frame(), Calibrator(), sky_box_pix=32)
    pattern = np.random.default_rng(2).normal(0, 3, first.shape).astype(np.float32)
    options = night_frame(), Calibrator(), first.sky, pattern
    again = measuring.remeasure_frame(*options, whole=False)
    assert again.shape == first.shape
    x, y = np.array([[40.0, 20.0], [31.0, 50.0]])
    geometry, how = ApertureGeometry((2.0, 3.5), (6.0, 10.0)), {"sky_rms": 9.0, "gain": None}
    light = [measure_light(again.reader(None), x, y, geometry, **how)]
    plain = measuring.MeasuredFrame(again.pixels, again.mask, again.sky)
    light.append(measure_light(plain.reader(None), x, y, geometry, **how))
    np.testing.assert_array_equal(light[0].flux, light[1].flux)
    ellipse = measure_light(again.reader(None, ApertureShape(0.7, 30.0)), x, y, geometry, **how)
    assert np.isfinite(ellipse.flux).all()
    assert again.with_mask(again.mask | np.uint8(1)).mask.all()
    chosen("reference")
    reference = measuring.remeasure_frame(*options, whole=False)
    np.testing.assert_allclose(reference.pixels, again.pixels, atol=2e-3)


def test_compiled_code_is_kept_in_the_folder_that_was_named(tmp_path):
    assert kernels.cache_folder(str(tmp_path / "made")) == tmp_path / "made"
    assert (tmp_path / "made").is_dir()


def test_it_is_kept_in_the_users_cache_otherwise(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kernels.cache_folder("") == tmp_path / "tianyu" / "kernels"


def test_a_folder_that_cannot_be_written_is_replaced_by_one_of_our_own(tmp_path, caplog):
    occupied = tmp_path / "file"
    occupied.write_text("no folder")
    with caplog.at_level(logging.WARNING):
        folder = kernels.cache_folder(str(occupied / "cache"))
    assert folder != occupied
    assert "TIANYU_KERNEL_CACHE" in caplog.text
    assert Path(folder).stat().st_uid == os.getuid()
    assert Path(folder).stat().st_mode & 0o077 == 0
    folder.rmdir()
