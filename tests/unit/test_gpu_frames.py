"""Frames on a GPU behind the steps' own functions; the way there, and the choice of it."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tests.unit.device_arrays import WRAPPED

from tianyu.pipelines import gpu, kernels, measuring, stacking
from tianyu.pipelines.device_frames import FrameOnDevice, Gpu
from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.apertures import measure_light
from tianyu.pipelines.science.apertureshape import ROUND, ApertureShape
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.footprints import Footprints
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.overscan import RawFrame
from tianyu.pipelines.science.stack import Canvas, PartialStack
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.sending import SentFrame
from tianyu.pipelines.stacking import add_frame, alignment_of, finished, new_stack
from tianyu.schema.errors import ConfigurationError

SHAPE = (330, 300)


@pytest.fixture
def chosen(monkeypatch):
    """Return a function that sets the choice and forgets the one before."""

    def choose(kind, device=None):
        monkeypatch.setenv("TIANYU_KERNELS", kind)
        kernels.compiled_kernels.cache_clear()
        kernels.gpu_kernels.cache_clear()
        for module in (measuring, stacking):
            monkeypatch.setattr(module, "find_gpu", lambda: device)

    yield choose
    kernels.compiled_kernels.cache_clear()
    kernels.gpu_kernels.cache_clear()


@pytest.fixture(params=["numpy", "stand-in"])
def device(request):
    return Gpu({"numpy": np, "stand-in": WRAPPED}[request.param])


def night_frame(seed=2, n_stars=160, dtype=np.uint16):
    rng = np.random.default_rng(seed)
    counts = rng.normal(1000, 9, SHAPE)
    y, x = np.mgrid[-8:9, -8:9]
    at = np.random.default_rng(1).uniform(9, np.array(SHAPE) - 10, (n_stars, 2))
    for star_y, star_x in at:
        row, column = round(star_y), round(star_x)
        r2 = (x + column - star_x) ** 2 + (y + row - star_y) ** 2
        counts[row - 8 : row + 9, column - 8 : column + 9] += 2500 * np.exp(-r2 / (2 * 1.4**2))
    counts[100:104, 200:204] = 65535
    return RawFrame(np.clip(counts, 0, 65535).astype(dtype))


def calibrator():
    flat = np.random.default_rng(6).normal(1, 0.01, SHAPE)
    flat[40:44, 50] = 0.0
    return Calibrator(bias=np.full(SHAPE, 100.0), flat=flat, saturation=60000.0)


def test_a_frame_and_its_stars_are_those_of_the_compiled_kernels(chosen, device):
    frames, stars = [], []
    for kind in ("fast", "gpu"):
        chosen(kind, device)
        frames.append(measuring.measure_frame(night_frame(), calibrator(), sky_box_pix=64))
        stars.append(measuring.stars_of(frames[-1]))
    fast, ours = frames
    assert isinstance(ours, FrameOnDevice)
    np.testing.assert_array_equal(ours.mask, fast.mask)
    np.testing.assert_allclose(ours.pixels, fast.pixels, atol=2e-3)
    np.testing.assert_array_equal(ours.maxima, fast.maxima)
    assert stars[1].n_detected == stars[0].n_detected > 100
    np.testing.assert_allclose(stars[1].xy, stars[0].xy, atol=1e-4)
    np.testing.assert_allclose(stars[1].fwhm_pix, stars[0].fwhm_pix, rtol=1e-4)


def test_of_a_frame_with_enough_stars_only_what_is_about_them_comes_back(chosen, device):
    chosen("gpu", device)
    frame = measuring.measure_frame(night_frame(), calibrator(), sky_box_pix=64)
    measuring.stars_of(frame)
    assert frame._fetched == {}


def test_of_a_frame_with_few_stars_all_of_it_is_searched(chosen, device):
    chosen("gpu", device)
    raw = night_frame(n_stars=5)
    frame = measuring.measure_frame(raw, calibrator(), sky_box_pix=64)
    ours = measuring.stars_of(frame)
    chosen("fast")
    fast = measuring.stars_of(measuring.measure_frame(raw, calibrator(), sky_box_pix=64))
    assert ours.n_detected == fast.n_detected == 5
    np.testing.assert_allclose(ours.xy, fast.xy, atol=1e-4)


def test_a_frame_is_the_same_in_the_second_pass_but_for_the_pattern(chosen, device):
    chosen("gpu", device)
    prepared, pattern = calibrator(), np.random.default_rng(9).normal(0, 3, SHAPE)
    first = measuring.measure_frame(night_frame(), prepared, sky_box_pix=64)
    pattern = pattern.astype(np.float32)
    again = measuring.remeasure_frame(night_frame(), prepared, first.sky, pattern)
    # A pixel without a value gets the level of the frame, in which there is no pattern.
    has_value = (first.mask & MaskBit.NO_FLAT) == 0
    expected = (first.pixels - pattern)[has_value]
    np.testing.assert_allclose(again.pixels[has_value], expected, atol=2e-3)
    np.testing.assert_array_equal(again.mask, first.mask)


@pytest.mark.parametrize("shape", [ROUND, ApertureShape(0.7, 30.0)])
def test_light_is_read_where_the_frame_is_and_kept_clear_of_known_stars(chosen, device, shape):
    chosen("gpu", device)
    frame = measuring.measure_frame(night_frame(), calibrator(), sky_box_pix=64)
    known = np.random.default_rng(3).uniform(0, 300, (2, 400))
    under = Footprints(*known, np.full(400, 4.0))
    stars, geometry = measuring.stars_of(frame), ApertureGeometry((3.0, 5.0), (8.0, 12.0), shape)
    options = {"sky_rms": 9.0, "gain": None}
    ours = measure_light(frame.reader(under, shape), stars.x, stars.y, geometry, **options)
    plain = measuring.MeasuredFrame(frame.pixels, frame.mask, frame.sky)
    theirs = measure_light(plain.reader(under, shape), stars.x, stars.y, geometry, **options)
    np.testing.assert_array_equal(ours.flags, theirs.flags)
    np.testing.assert_allclose(ours.flux, theirs.flux, atol=1e-5 * theirs.flux_error.min())
    np.testing.assert_allclose(ours.background, theirs.background, atol=1e-5)


def test_a_frame_with_more_marks_stays_where_it_is(chosen, device):
    chosen("gpu", device)
    frame = measuring.measure_frame(night_frame(), calibrator(), sky_box_pix=64)
    more = frame.mask | np.uint8(16)
    marked = frame.with_mask(more)
    assert isinstance(marked, FrameOnDevice)
    np.testing.assert_array_equal(marked.mask, more)


def test_stacks_grow_on_the_device_and_come_back_the_same(chosen, device):
    """Also with a frame of floats, which is measured on the host."""
    chosen("gpu", device)
    canvas = Canvas(5, -4, SHAPE[1] - 3, SHAPE[0])
    ours, plain = new_stack(canvas), PartialStack.empty(canvas)
    alignment = alignment_of(AffineTransform(1.0, 0.0, 0.0, 1.0, 2.0, -3.0), SHAPE)
    for seed, dtype in ((3, np.uint16), (4, np.uint16), (5, np.float32)):
        frame = measuring.measure_frame(
            night_frame(seed, dtype=dtype), calibrator(), sky_box_pix=64
        )
        add_frame(ours, frame, alignment)
        add_frame(plain, frame, alignment)
    found = finished(ours)
    assert finished(plain) is plain
    np.testing.assert_array_equal(found.total, plain.total)
    np.testing.assert_array_equal(found.count, plain.count)
    assert (found.n_frames, found.total.dtype) == (3, plain.total.dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_what_has_more_than_16_bits_stays_on_the_host(chosen, device, dtype):
    chosen("gpu", device)
    frame = measuring.measure_frame(night_frame(dtype=dtype), calibrator(), sky_box_pix=64)
    assert not isinstance(frame, FrameOnDevice)


# -- sending -------------------------------------------------------------------------------------


def test_frames_are_sent_ahead_two_at_a_time():
    device, prepared = Gpu(WRAPPED), calibrator()
    raws = [night_frame(seed) for seed in (1, 2, 3)]
    sent = [device.sent(raw) for raw in raws[:2]]
    assert all(isinstance(raw, SentFrame) for raw in sent)
    for raw, arrived in zip(raws, sent, strict=False):
        np.testing.assert_array_equal(arrived.arrived().get(), raw.pixels)
    # The third takes the place of the first, which is sent anew if it is asked for after all.
    third = device.sent(raws[2])
    assert sent[0].arrived() is None
    for raw, arrived in zip(raws, [*sent, third], strict=True):
        expected = Gpu(np).measure_frame(raw, prepared, 64)
        found = device.measure_frame(arrived, prepared, 64)
        np.testing.assert_array_equal(found.pixels, expected.pixels)


def test_counts_of_the_other_byte_order_and_other_shapes_are_sent_too():
    device = Gpu(WRAPPED)
    swapped = RawFrame(night_frame().pixels.astype(">u2"))
    small = RawFrame(night_frame().pixels[:50, :60])
    for raw in (swapped, swapped, small, swapped):
        np.testing.assert_array_equal(device.sent(raw).arrived().get(), raw.pixels)
    floats = RawFrame(np.zeros((4, 4), np.float32))
    assert device.sent(floats) is floats


# -- finding it ----------------------------------------------------------------------------------


class CudaError(RuntimeError):
    pass


def cupy_that_finds(count):
    def get_device_count():
        if isinstance(count, Exception):
            raise count
        return count

    runtime = SimpleNamespace(getDeviceCount=get_device_count, CUDARuntimeError=CudaError)
    return SimpleNamespace(__version__="13.0", cuda=SimpleNamespace(runtime=runtime))


@pytest.fixture
def found(monkeypatch):
    """Return a function that looks for a GPU with another CuPy."""

    def find(cupy):
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        gpu.gpu_namespace.cache_clear()
        return gpu.gpu_namespace()

    yield find
    gpu.gpu_namespace.cache_clear()


def test_without_cupy_it_is_said_how_to_install_it(found):
    with pytest.raises(ConfigurationError, match=r"pip install 'tianyu\[gpu\]'.*group cpu"):
        found(None)


@pytest.mark.parametrize("count", [0, CudaError("no CUDA-capable device is detected")])
def test_without_a_gpu_it_is_said_where_to_look(found, count):
    with pytest.raises(ConfigurationError, match=r"finds no GPU.*CUDA_VISIBLE_DEVICES"):
        found(cupy_that_finds(count))


def test_a_gpu_is_found(found):
    cupy = cupy_that_finds(1)
    assert found(cupy) is cupy


def test_a_child_of_a_consumer_with_a_gpu_chooses_it_itself(chosen, monkeypatch):
    chosen("fast")
    assert not kernels.gpu_kernels()
    kernels.choose_gpu()
    assert kernels.gpu_kernels()
    assert kernels.compiled_kernels()
