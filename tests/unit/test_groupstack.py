"""The mean of a few frames on the grid of the middle one."""

import numpy as np
import pytest

from tianyu.pipelines.frame_rows import FrameRow
from tianyu.pipelines.science.alignment import half_turn
from tianyu.pipelines.science.apertures import measure_fluxes
from tianyu.pipelines.science.groupstack import GroupStack, place_in_group, positions_in_stack
from tianyu.pipelines.science.masks import MaskBit
from tianyu.pipelines.science.timegroups import TimeScale
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.stack_epochs import mean_times, plan_epochs

SHAPE = (120, 140)
FWHM = 3.0


def turned(angle_rad, dx=0.0, dy=0.0):
    """Return a rotation about the middle of the field, then a shift."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    x0, y0 = (SHAPE[1] - 1) / 2, (SHAPE[0] - 1) / 2
    return AffineTransform(
        cos, -sin, sin, cos, x0 - cos * x0 + sin * y0 + dx, y0 - sin * x0 - cos * y0 + dy
    )


def star(x, y, flux):
    yy, xx = np.indices(SHAPE)
    sigma = FWHM / 2.3548
    profile = np.exp(-((xx - x) ** 2 + (yy - y) ** 2) / (2 * sigma**2))
    return (flux * profile / (2 * np.pi * sigma**2)).astype(np.float32)


def clear():
    return np.zeros(SHAPE, np.uint8)


def test_shifts_are_counted_from_the_middle_frame():
    transforms = [AffineTransform.translation(dx, 2.0) for dx in (10.2, 11.0, 12.6)]
    placed = place_in_group(transforms, 1, SHAPE)
    assert [p.shift for p in placed] == [(-1, 0), (0, 0), (2, 0)]
    assert GroupStack(placed, SHAPE).canvas.width == SHAPE[1] - 3, "what all of them cover"


def test_a_field_that_rotates_over_the_night_does_not_over_a_group():
    """All are turned by a degree against the reference, hardly against each other."""
    transforms = [turned(np.radians(1.0 + step)) for step in (-0.05, 0.0, 0.05)]
    assert None not in place_in_group(transforms, 1, SHAPE)
    # Half a pixel at the corner, 92 px from the middle, is 0.31°.
    far = [turned(0.0), turned(0.0), turned(np.radians(0.4)), turned(np.radians(0.25))]
    assert [p is None for p in place_in_group(far, 1, SHAPE)] == [False, False, True, False]


@pytest.mark.parametrize("flip", [False, True])
def test_a_star_is_found_where_all_frames_put_it(flip):
    """Shifts with fractions: the aperture follows the mean of them, and no pixel is resampled."""
    rng = np.random.default_rng(3)
    transforms = [turned(0.0, *rng.uniform(-4, 4, 2)) for _ in range(7)]
    if flip:
        transforms[5] = half_turn(SHAPE).compose(transforms[5])
    placed = place_in_group(transforms, 3, SHAPE)
    stack = GroupStack(placed, SHAPE)
    for transform, placement in zip(transforms, placed, strict=True):
        x, y = transform.apply(np.array([62.3]), np.array([51.8]))
        stack.add(star(x[0], y[0], 5000.0), clear(), placement)
    pixels, mask = stack.mean()
    x, y = positions_in_stack(placed, SHAPE, np.array([62.3]), np.array([51.8]))
    x, y = x - stack.canvas.x0, y - stack.canvas.y0
    found = measure_fluxes(
        pixels, mask, x, y, (6.0,), annulus_pix=(12.0, 18.0), sky_rms=1.0, gain=1.0
    )
    assert found.flux[0, 0] == pytest.approx(5000.0, rel=1e-3)
    assert np.hypot(found.x_centroid[0] - x[0], found.y_centroid[0] - y[0]) < 0.02


def test_masks_of_any_frame_are_kept():
    placed = place_in_group([AffineTransform.identity()] * 3, 1, SHAPE)
    stack, masks = GroupStack(placed, SHAPE), [clear() for _ in range(3)]
    masks[0][10, 10] = MaskBit.SATURATED
    masks[1][20, 20] = MaskBit.NOT_FINITE
    masks[2][40, 40] = MaskBit.TRAIL
    masks[2][41, 41] = MaskBit.COSMIC_RAY
    for mask in masks:
        mask[30, 30] = MaskBit.NO_FLAT
    for value, mask, placement in zip((1.0, 2.0, 6.0), masks, placed, strict=True):
        stack.add(np.full(SHAPE, value, np.float32), mask, placement)
    pixels, mask = stack.mean()
    assert (pixels[10, 10], mask[10, 10]) == (3.0, MaskBit.SATURATED), "summed as it is"
    assert (pixels[20, 20], mask[20, 20]) == (3.5, MaskBit.BAD), "the mean of the other two"
    assert (pixels[30, 30], mask[30, 30]) == (0.0, MaskBit.NOT_FINITE)
    assert (pixels[40, 40], mask[40, 40]) == (1.5, MaskBit.BAD), "the other two have no trail"
    assert (pixels[41, 41], mask[41, 41]) == (1.5, MaskBit.BAD)
    assert np.count_nonzero(mask) == 5


def row(image_id, minute, *, is_good=True, exposure_s=60.0):
    return FrameRow(
        image_id, f"{image_id}.fits", 140, 120, exposure_s, AffineTransform.identity(), True,
        is_good, 3.0, 10.0, 1.0, 2460000.5 + minute / 1440,
    )  # fmt: skip


def test_rejected_frames_are_in_no_stack():
    frames = [row(i, i, is_good=i != 2) for i in range(7)]
    plans = plan_epochs(frames, [TimeScale(n_frames=3), TimeScale(minutes=4.0)])
    held = [(p.time_scale, p.epoch, [f.image_id for f, _ in p.members]) for p in plans]
    assert held == [
        ("3 frames", 0, [0, 1, 3]), ("3 frames", 1, [4, 5, 6]),
        ("4 min", 0, [0, 1, 3]), ("4 min", 1, [4, 5, 6]),
    ]  # fmt: skip
    assert [p.middle.image_id for p in plans] == [1, 5, 1, 5]


def test_the_time_is_the_mean_weighted_by_exposure():
    """Worked by hand: minutes 0, 1 and 4 with 60, 60 and 120 s have their mean at 2.25."""
    frames = [row(1, 0), row(2, 1), row(3, 4, exposure_s=120.0)]
    (plan,) = plan_epochs(frames, [TimeScale(n_frames=3)])
    jd = {f.image_id: f.jd_utc_mid for f in frames}
    times = {
        i: {"jd_utc_mid": t, "bjd_tdb_mid": t + 0.005, "dbjd_dxi": 1e-6, "dbjd_deta": None,
            "airmass": 1.0 + i}
        for i, t in jd.items()
    }  # fmt: skip
    mid = mean_times(plan, times)
    assert mid["jd_utc_mid"] == pytest.approx(2460000.5 + 2.25 / 1440, abs=1e-9)
    assert mid["bjd_tdb_mid"] == pytest.approx(2460000.505 + 2.25 / 1440, abs=1e-9)
    assert mid["airmass"] == pytest.approx((2.0 + 3.0 + 2 * 4.0) / 4)
    assert mid["dbjd_dxi"] == pytest.approx(1e-6)
    assert mid["dbjd_deta"] is None
    assert (
        abs((mid["utc_mid"] - np.datetime64("2023-02-25T00:02:15").item()).total_seconds()) < 0.01
    )


def test_the_scatter_of_a_faint_star_falls_by_the_root_of_n():
    """An injected star of 3 sigma a frame: the errors say the scatter, √n below a frame's.

    One hundred stacks know a scatter to 7 %.
    """
    rng = np.random.default_rng(11)
    rms, flux, n, radii = 10.0, 250.0, 9, (2.5,)
    x = y = np.array([60.4])
    measured = {"rms": [], "error": []}
    single = []
    for _ in range(100):
        transforms = [turned(0.0, *rng.uniform(-1, 1, 2)) for _ in range(n)]
        placed = place_in_group(transforms, n // 2, SHAPE)
        stack = GroupStack(placed, SHAPE)
        for transform, placement in zip(transforms, placed, strict=True):
            at_x, at_y = transform.apply(x, y)
            pixels = star(at_x[0], at_y[0], flux)
            pixels += rng.normal(0.0, rms, SHAPE).astype(np.float32)
            stack.add(pixels, clear(), placement)
            if placement is placed[0]:
                found = measure_fluxes(
                    pixels, clear(), at_x, at_y, radii, annulus_pix=(10.0, 18.0), sky_rms=rms,
                    gain=None,
                )  # fmt: skip
                single.append(found.flux[0, 0])
        pixels, mask = stack.mean()
        at_x, at_y = positions_in_stack(placed, SHAPE, x, y)
        found = measure_fluxes(
            pixels, mask, at_x - stack.canvas.x0, at_y - stack.canvas.y0, radii,
            annulus_pix=(10.0, 18.0), sky_rms=rms / np.sqrt(n), gain=None,
        )  # fmt: skip
        measured["rms"].append(found.flux[0, 0])
        measured["error"].append(found.flux_error[0, 0])
    scatter = np.std(measured["rms"])
    assert scatter == pytest.approx(np.mean(measured["error"]), rel=0.21)
    assert np.std(single) / scatter == pytest.approx(np.sqrt(n), rel=0.3)
    assert np.mean(measured["rms"]) == pytest.approx(np.mean(single), rel=0.06)
