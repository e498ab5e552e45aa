"""Operations on whole arrays against their plain references.

With the arrays of NumPy, of a stand-in that has CuPy's rules, and of CuPy where there is a GPU.
"""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.unit.device_arrays import WRAPPED

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.aperturegeometry import ApertureGeometry
from tianyu.pipelines.science.apertures import measure_fluxes, measure_light
from tianyu.pipelines.science.calibrate import Calibrator
from tianyu.pipelines.science.flags import FluxFlag
from tianyu.pipelines.science.footprints import Footprints
from tianyu.pipelines.science.gpu.calibration import DeviceCalibration, calibrate
from tianyu.pipelines.science.gpu.disks import covered
from tianyu.pipelines.science.gpu.light import DeviceLight
from tianyu.pipelines.science.gpu.maxima import find_maxima
from tianyu.pipelines.science.gpu.namespace import to_host
from tianyu.pipelines.science.gpu.skyimage import sky_image
from tianyu.pipelines.science.gpu.skymesh import measure_sky as measure_boxes
from tianyu.pipelines.science.gpu.summing import DeviceStack
from tianyu.pipelines.science.kernels import frames as compiled_frames
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.overscan import RawFrame
from tianyu.pipelines.science.peaks import find_peaks
from tianyu.pipelines.science.sky import SkyModel, measure_sky
from tianyu.pipelines.science.stack import Canvas, PartialStack
from tianyu.pipelines.science.stamps import UNDER_STAR

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)
SIGMA = 12.0
SHAPE = (120, 140)
# The fixture gives a module, which no example changes.
COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


def cupy_of_a_gpu():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed: pip install 'tianyu[gpu]'")
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"there is no GPU that CuPy can use: {error}")
    assert count > 0
    return cupy


@pytest.fixture(params=["numpy", "stand-in", "cupy"], scope="module")
def xp(request):
    if request.param == "cupy":
        return cupy_of_a_gpu()
    return {"numpy": np, "stand-in": WRAPPED}[request.param]


def sky_with_stars(shape, seed, n_stars=40):
    """A gradient of sky with noise and stars, as counts of 16 bits."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = 900 + 0.1 * x - 0.05 * y + rng.normal(0, SIGMA, shape)
    for star_x, star_y, flux in rng.uniform((0, 0, 200), (*shape[::-1], 9000), (n_stars, 3)):
        near = (abs(x - star_x) < 10) & (abs(y - star_y) < 10)
        r2 = (x[near] - star_x) ** 2 + (y[near] - star_y) ** 2
        image[near] += flux * np.exp(-r2 / (2 * 1.4**2))
    return np.clip(np.rint(image), 0, 65535).astype(np.uint16)


@settings(max_examples=15, **COMMON)
@given(st.data(), st.sampled_from([np.uint16, np.int16, np.uint8]), SHAPES)
def test_calibration_agrees_to_the_last_bit(xp, data, dtype, shape):
    info = np.iinfo(dtype)
    raw = data.draw(hnp.arrays(dtype, shape, elements=st.integers(int(info.min), int(info.max))))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    has = [data.draw(st.booleans()) for _ in range(3)]
    bias = rng.normal(300, 40, shape) if has[0] else None
    if bias is not None and data.draw(st.booleans()):
        bias.flat[rng.integers(bias.size)] = np.nan
    flat = rng.normal(1, 0.5, shape) if has[1] else None
    bad = rng.integers(0, 2, shape).astype(np.uint8) if has[2] else None
    saturation = data.draw(st.sampled_from([None, 200.0, 30000.5, np.inf, -np.inf, 1e12]))
    over = data.draw(st.sampled_from([None, (1, 1), (shape[0], 1), (1, shape[1])]))
    overscan = None if over is None else rng.normal(50, 9, over).astype(np.float32)
    calibrator = Calibrator(bias=bias, flat=flat, bad=bad, saturation=saturation)
    expected = calibrator.apply(raw, overscan)
    level = None if overscan is None else xp.asarray(overscan)
    pixels, mask = calibrate(xp.asarray(raw), level, DeviceCalibration.of(calibrator, xp), xp)
    assert (pixels.dtype, mask.dtype) == (np.float32, np.uint8)
    np.testing.assert_array_equal(to_host(mask), expected.mask)
    np.testing.assert_array_equal(to_host(pixels), expected.pixels)


@pytest.mark.parametrize("n_bad", [0, 1, 2, 4224, 4225])
def test_holes_get_the_level_of_the_good_pixels_of_the_grid(xp, n_bad):
    """Every other row and column is looked at, 65 × 65 pixels; all, some or none may be good."""
    raw = sky_with_stars((130, 130), seed=4)
    bad = np.zeros(raw.shape, np.uint8)
    bad[1, 1] = MaskBit.NOT_FINITE
    grid = bad[::2, ::2]
    rows, columns = np.divmod(np.arange(n_bad), 65)
    grid[rows, columns] = MaskBit.BAD
    calibrator = Calibrator(bad=bad)
    pixels, _ = calibrate(xp.asarray(raw), None, DeviceCalibration.of(calibrator, xp), xp)
    np.testing.assert_array_equal(to_host(pixels), calibrator.apply(raw).pixels)


@pytest.mark.parametrize(
    ("shape", "box"), [((256, 256), 64), ((300, 417), 64), ((200, 130), 32), ((40, 40), 64)]
)
def test_the_mesh_is_that_of_source_extractor_within_its_own_noise(xp, shape, box):
    """The mode of n pixels is known to 2.1 σ/√n, and both clip in steps of their own."""
    raw = sky_with_stars(shape, seed=shape[1], n_stars=1 + np.prod(shape) // 2000)
    flat = np.random.default_rng(6).normal(1, 0.01, shape)
    calibrated = Calibrator(flat=flat, saturation=60000.0).apply(raw)
    sky = measure_boxes(xp.asarray(calibrated.pixels), xp.asarray(calibrated.mask), box, xp)
    reference = measure_sky(calibrated.pixels, box_pix=box)
    assert (sky.box_pix, sky.shape) == (reference.box_pix, reference.shape)
    assert sky.mesh.shape == reference.mesh.shape
    assert sky.mesh.dtype == sky.rms_mesh.dtype == np.float32
    tolerance = 4 * 2.1 * SIGMA / np.sqrt(np.prod(sky.box_pix))
    assert np.abs(sky.mesh - reference.mesh).max() < tolerance
    assert abs(np.median(sky.mesh - reference.mesh)) < 0.02 * SIGMA + 0.2 * tolerance
    assert sky.rms == pytest.approx(reference.rms, rel=0.03)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_mesh_is_that_of_the_compiled_kernel(xp, seed):
    """The same method on the same steps, with masked boxes, a jump in the level and dead rows."""
    raw = sky_with_stars((300, 417), seed=seed)
    raw[:70, :70] = 65535
    raw[150:, 200:] += 9000
    raw[40:44] = 0
    flat = np.random.default_rng(6).normal(1, 0.01, raw.shape)
    calibrator = Calibrator(flat=flat, saturation=60000.0)
    pixels, mask = np.empty(raw.shape, np.float32), np.empty(raw.shape, np.uint8)
    expected, _ = compiled_frames.measure(RawFrame(raw), calibrator, 64, pixels, mask)
    calibrated = calibrator.apply(raw)
    sky = measure_boxes(xp.asarray(calibrated.pixels), xp.asarray(calibrated.mask), 64, xp)
    np.testing.assert_allclose(sky.mesh, expected.mesh, rtol=1e-6)
    np.testing.assert_allclose(sky.rms_mesh, expected.rms_mesh, rtol=1e-5)


@pytest.mark.parametrize("first", [0, 1])
def test_every_other_row_may_be_bad(xp, first):
    pixels = sky_with_stars((256, 256), seed=3).astype(np.float32)
    mask = np.zeros(pixels.shape, np.uint8)
    mask[first::2] = 1
    sky = measure_boxes(xp.asarray(pixels), xp.asarray(mask), 64, xp)
    reference = measure_sky(pixels, mask, box_pix=64)
    np.testing.assert_allclose(sky.mesh, reference.mesh, atol=0.25 * SIGMA)
    assert sky.rms == pytest.approx(reference.rms, rel=0.05)


@pytest.mark.parametrize("masked", [0.6, 1.0])
def test_a_frame_without_sky_is_refused_in_the_words_of_the_reference(xp, masked):
    pixels = sky_with_stars((64, 64), seed=1).astype(np.float32)
    mask = np.zeros(pixels.shape, np.uint8)
    mask[: int(64 * masked)] = 2
    with pytest.raises(UnusableDataError) as expected:
        measure_sky(pixels, mask)
    with pytest.raises(UnusableDataError) as found:
        measure_boxes(xp.asarray(pixels), xp.asarray(mask), 64, xp)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("level", [0, 1000, 65535])
def test_an_even_frame_has_an_even_sky(xp, level):
    pixels, mask = np.full((128, 128), level, np.float32), np.zeros((128, 128), np.uint8)
    sky = measure_boxes(xp.asarray(pixels), xp.asarray(mask), 64, xp)
    np.testing.assert_allclose(sky.mesh, level, atol=0.01 + 2e-5 * level)


@settings(max_examples=10, **COMMON)
@given(
    st.integers(8, 90), st.integers(8, 90), st.integers(8, 30), st.integers(8, 30), st.integers(0)
)
def test_the_sky_image_is_that_of_the_spline(xp, ny, nx, box_y, box_x, seed):
    nodes = -(-ny // box_y), -(-nx // box_x)
    mesh = np.random.default_rng(seed).normal(1000, 30, nodes).astype(np.float32)
    sky = SkyModel(mesh, mesh, (box_y, box_x), (ny, nx))
    found = to_host(sky_image(sky, xp))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, sky.image(), rtol=1e-6)


VALUES = st.sampled_from([0.0, 1.0, 5.0, 5.5, 6.0, 9.0, 9.0, 40.0, np.nan, np.inf, -3.0])


@settings(max_examples=30, **COMMON)
@given(st.data(), hnp.array_shapes(min_dims=2, max_dims=2, min_side=5, max_side=16))
def test_maxima_agree_with_ties_masks_and_edges(xp, data, shape):
    pixels = data.draw(hnp.arrays(np.float32, shape, elements=VALUES))
    mask = data.draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 0, 0, 0, 1, 2, 8])))
    min_area = data.draw(st.integers(1, 4))
    expected = find_peaks(pixels, mask, 1.0, 5.0, min_area)
    found = find_maxima(xp.asarray(pixels), xp.asarray(mask), 1.0, 5.0, min_area, xp)
    assert found.tolist() == expected.tolist()


@settings(max_examples=20, **COMMON)
@given(st.data(), hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))
def test_stacks_agree_to_the_last_digit(xp, data, shape):
    """Shifts, turns, masks, what is not a number, what is clipped, and wider sums."""
    values = st.one_of(
        st.floats(-7e4, 7e4, width=32), st.sampled_from([np.nan, np.inf, -np.inf, 3e38, 9e7])
    )
    canvas = Canvas(data.draw(st.integers(-3, 3)), data.draw(st.integers(-3, 3)), *shape)
    plain, ours = PartialStack.empty(canvas), DeviceStack(canvas, xp)
    for _ in range(data.draw(st.integers(1, 4))):
        pixels = data.draw(hnp.arrays(np.float32, shape, elements=values))
        mask = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 3)))
        dx, dy = data.draw(st.tuples(st.integers(-5, 5), st.integers(-5, 5)))
        how = {"flipped": data.draw(st.booleans()), "ignored": int(MaskBit.SATURATED)}
        sign = data.draw(st.sampled_from([1, -1]))
        (plain.add if sign > 0 else plain.subtract)(pixels, mask, dx, dy, **how)
        ours.add(xp.asarray(pixels), xp.asarray(mask), dx, dy, **how, sign=sign)
    found = ours.fetch()
    assert found.n_frames == plain.n_frames
    np.testing.assert_array_equal(found.total, plain.total)
    np.testing.assert_array_equal(found.count, plain.count)


@settings(max_examples=15, **COMMON)
@given(SHAPES, st.integers(0, 2**32 - 1), st.integers(0, 30))
def test_disks_of_stars_agree_to_the_last_pixel(xp, shape, seed, n):
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-9, 30, (2, n))
    x[rng.random(n) < 0.1] = np.nan
    x, y = np.where(rng.random((2, n)) < 0.3, np.rint([x, y]), [x, y])
    stars = Footprints(x, y, rng.choice([1.0, 2.5, 7.0, 40.0], n))
    np.testing.assert_array_equal(to_host(covered(stars, shape, xp)), stars.covered(shape))


def frame(seed, n_stars=30):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    pixels = rng.normal(0.7, 5, SHAPE)
    at = rng.uniform((-3, -3), (SHAPE[1] + 2, SHAPE[0] + 2), (n_stars, 2))
    for (star_x, star_y), flux in zip(at, rng.uniform(20, 4e3, n_stars), strict=True):
        pixels += flux * np.exp(-((x - star_x) ** 2 + (y - star_y) ** 2) / (2 * 1.3**2))
    return pixels.astype(np.float32), at[:, 0], at[:, 1], rng


def compare(xp, pixels, mask, x, y, geometry, **options):
    """The bars are those of the compiled kernels."""
    expected = measure_fluxes(
        pixels, mask, x, y, geometry.radii_pix, annulus_pix=geometry.annulus_pix, **options
    )
    reader = DeviceLight(xp.asarray(pixels), xp.asarray(mask), xp)
    found = measure_light(reader, x, y, geometry, **options)
    error = np.where(expected.flux_error > 0, expected.flux_error, 1.0)
    # Whether a flux of nothing is negative is chance.
    sure = np.where(abs(expected.flux) < 1e-5 * error, ~np.uint16(FluxFlag.NEGATIVE_FLUX), 0xFFFF)
    np.testing.assert_array_equal(found.flags & sure, expected.flags & sure)
    for column in fields(expected):
        one, other = getattr(found, column.name), getattr(expected, column.name)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(np.isnan(one), np.isnan(other), err_msg=column.name)
    assert np.nanmax(abs(found.flux - expected.flux) / error) < 1e-5
    np.testing.assert_allclose(found.flux_error, expected.flux_error, rtol=1e-6)
    np.testing.assert_allclose(found.background, expected.background, atol=1e-5)
    np.testing.assert_allclose(found.background_rms, expected.background_rms, rtol=1e-5)
    np.testing.assert_allclose(found.x_centroid, expected.x_centroid, atol=1e-4)
    np.testing.assert_allclose(found.y_centroid, expected.y_centroid, atol=1e-4)
    np.testing.assert_allclose(found.peak, expected.peak, rtol=1e-6)


@settings(max_examples=6, **COMMON)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(1.0, 4.0),
    st.sampled_from([0.0, 0.004, 0.3]),
    st.sampled_from([None, 1.5]),
    st.sampled_from([0.0, 0.2, 0.8, 0.97]),
)
def test_fluxes_agree_with_the_reference(xp, seed, fwhm, bad, gain, covered):
    """Stars on and off the edges, every mark of a pixel, few pixels clear."""
    pixels, x, y, rng = frame(seed)
    mask = np.where(rng.random(SHAPE) < bad, rng.integers(1, UNDER_STAR, SHAPE), 0)
    mask = (mask | np.where(rng.random(SHAPE) < covered, UNDER_STAR, 0)).astype(np.uint8)
    pixels[rng.random(SHAPE) < bad / 4] = np.nan
    pixels[rng.random(SHAPE) < bad / 8] = np.inf
    geometry = ApertureGeometry.from_fwhm(fwhm)
    compare(xp, pixels, mask, x, y, geometry, sky_rms=5.0, gain=gain, fwhm_pix=fwhm)


@pytest.mark.parametrize("value", [0.0, -3.0, 1e6])
def test_even_frames_agree(xp, value):
    """Whole rings of one value: every order statistic is a tie."""
    pixels, mask = np.full(SHAPE, value, np.float32), np.zeros(SHAPE, np.uint8)
    x, y = np.array([60.0, 2.0]), np.array([50.0, 117.3])
    geometry = ApertureGeometry((2.0, 3.5), (6.0, 10.0))
    compare(xp, pixels, mask, x, y, geometry, sky_rms=1.0, gain=None)


def test_digitised_sky_agrees(xp):
    """A sky of few different counts, as of a camera of 12 bits."""
    pixels, x, y, _ = frame(3)
    pixels = np.rint(pixels / 4).astype(np.float32)
    geometry = ApertureGeometry((2.0, 3.5), (6.0, 10.0))
    compare(xp, pixels, np.zeros(SHAPE, np.uint8), x, y, geometry, sky_rms=1.3, gain=1.0)


def test_frames_without_any_good_pixel_agree(xp):
    pixels, x, y, _ = frame(4)
    geometry = ApertureGeometry((2.0,), (6.0, 10.0))
    compare(xp, pixels, np.full(SHAPE, 4, np.uint8), x, y, geometry, sky_rms=5.0, gain=None)
