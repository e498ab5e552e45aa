"""What aligning promises: every pose of a telescope, to a hundredth of a pixel, or a reason."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tianyu.pipelines.errors import UnusableDataError
from tianyu.pipelines.science.align import FEW_STARS, align
from tianyu.pipelines.science.alignment import AlignmentError
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.transform import AffineTransform

SHAPE = (900, 1100)


def pose(
    rotation_deg: float = 0.0, scale: float = 1.0, dx: float = 0.0, dy: float = 0.0
) -> AffineTransform:
    """Rotation and scale about the centre of the field, then a shift."""
    y, x = ((n - 1) / 2 for n in SHAPE)
    angle = math.radians(rotation_deg)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return AffineTransform(
        cos, -sin, sin, cos, x - cos * x + sin * y + dx, y - sin * x - cos * y + dy
    )


def star_list(x, y, flux, error_pix: float = 0.02) -> StarList:
    order = np.argsort(-flux, kind="stable")
    shape = np.ones(len(x))
    return StarList(
        x[order], y[order], flux[order], flux[order] / 10, 3 * shape, shape, error_pix * shape
    )


def two_views(
    truth: AffineTransform,
    n: int = 300,
    seed: int = 1,
    kept: float = 1.0,
    noise_pix: float = 0.0,
    dimmed: float = 1.0,
) -> tuple[StarList, StarList]:
    """The reference's stars and the frame's: both see what of the sky falls on the detector."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-300, SHAPE[1] + 300, n), rng.uniform(-300, SHAPE[0] + 300, n)
    flux = 10 ** rng.uniform(3.0, 5.5, n)
    lists = []
    for transform, factor in ((AffineTransform.identity(), 1.0), (truth, dimmed)):
        u, v = transform.apply(x, y)
        on = (u > 0) & (u < SHAPE[1] - 1) & (v > 0) & (v < SHAPE[0] - 1) & (rng.random(n) < kept)
        u, v = (c[on] + rng.normal(0.0, noise_pix, on.sum()) for c in (u, v))
        lists.append(star_list(u, v, factor * flux[on], max(noise_pix, 0.001)))
    return lists[0], lists[1]


def largest_error(found: AffineTransform, truth: AffineTransform) -> float:
    x, y = (grid.ravel() for grid in np.meshgrid(*(np.linspace(0, n - 1, 5) for n in SHAPE[::-1])))
    (u, v), (p, q) = found.apply(x, y), truth.apply(x, y)
    return float(np.hypot(u - p, v - q).max())


class TestPoses:
    @given(
        rotation_deg=st.floats(-1.5, 1.5),
        scale=st.floats(0.99, 1.01),
        dx=st.floats(-250.0, 250.0),
        dy=st.floats(-250.0, 250.0),
        flipped=st.booleans(),
        seed=st.integers(0, 100),
    )
    @settings(max_examples=40, deadline=None)
    def test_every_pose_is_found_with_half_the_stars_lost(
        self, rotation_deg: float, scale: float, dx: float, dy: float, flipped: bool, seed: int
    ) -> None:
        truth = pose(rotation_deg + 180.0 * flipped, scale, dx, dy)
        found = align(*two_views(truth, n=500, seed=seed, kept=0.6), SHAPE)
        assert largest_error(found.transform, truth) < 0.01
        assert found.flipped == flipped

    @pytest.mark.parametrize("rotation_deg", [-2.5, -1.0, -0.5, 0.0, 0.5, 1.0, 2.5])
    @pytest.mark.parametrize("scale", [0.99, 1.0, 1.01])
    def test_corner_stars_are_matched_too(self, rotation_deg: float, scale: float) -> None:
        reference, frame = two_views(pose(rotation_deg, scale, 7.0, -3.0))
        found = align(reference, frame, SHAPE)
        assert found.n_matched > 0.9 * min(reference.count, frame.count)
        assert found.transform.rotation_deg == pytest.approx(rotation_deg, abs=1e-4)
        assert found.transform.scale == pytest.approx(scale, abs=1e-6)

    def test_a_frame_aligns_to_itself(self) -> None:
        stars, _ = two_views(pose())
        found = align(stars, stars, SHAPE)
        assert largest_error(found.transform, AffineTransform.identity()) < 1e-9
        assert (found.n_matched, found.transparency) == (stars.count, 1.0)

    def test_noise_of_stars_averages_out(self) -> None:
        # 0.05 px per star and axis in both frames: about 0.07/sqrt(150) at the centre of the
        # field, three times that in its corners.
        truth = pose(0.3, 1.0002, 20.4, -11.7)
        found = align(*two_views(truth, noise_pix=0.05), SHAPE)
        assert largest_error(found.transform, truth) < 0.025
        assert found.residual_rms_pix == pytest.approx(0.05 * 2, rel=0.15)  # two axes, two frames

    def test_eight_stars_are_enough_when_they_agree(self) -> None:
        truth = pose(0.1, 1.0, 3.3, 4.4)
        reference, frame = two_views(truth, n=300)
        found = align(reference.brightest(8), frame.brightest(14), SHAPE)
        assert largest_error(found.transform, truth) < 0.01

    def test_affine_map_is_used_where_the_stars_ask_for_it(self) -> None:
        sheared = AffineTransform(1.0008, 0.0004, 0.0003, 0.9995, 12.0, -7.0)
        found = align(*two_views(sheared, noise_pix=0.02), SHAPE)
        assert largest_error(found.transform, sheared) < 0.02

    def test_and_not_where_they_do_not(self) -> None:
        found = align(*two_views(pose(0.2, 1.0, 5.0, 5.0), noise_pix=0.05), SHAPE).transform
        assert found.a == found.d
        assert found.b == -found.c

    def test_blends_and_variables_do_not_pull_the_fit(self) -> None:
        truth = pose(0.2, 1.0, 30.0, 5.0)
        reference, frame = two_views(truth, noise_pix=0.02)
        x = frame.x.copy()
        x[::10] += 1.5  # every tenth centroid lies on a blend
        spoiled = star_list(x, frame.y, frame.flux)
        assert largest_error(align(reference, spoiled, SHAPE).transform, truth) < 0.03


class TestFlips:
    def test_transform_is_to_the_frame_as_stored_and_upright_to_the_reversed_array(self) -> None:
        found = align(*two_views(pose(180.0, 1.0, 12.0, -8.0)), SHAPE)
        x, y = found.transform.apply(np.array([0.0]), np.array([0.0]))
        assert (x[0], y[0]) == pytest.approx((SHAPE[1] - 1 + 12.0, SHAPE[0] - 1 - 8.0), abs=1e-6)
        assert largest_error(found.upright, AffineTransform.translation(-12.0, 8.0)) < 1e-6
        assert found.whole_pixel_shift == (-12, 8)

    def test_upright_of_a_frame_that_is_not_flipped_is_its_transform(self) -> None:
        found = align(*two_views(pose(0.0, 1.0, 3.6, -2.4)), SHAPE)
        assert found.upright == found.transform
        assert found.whole_pixel_shift == (4, -2)


class TestTransparency:
    @pytest.mark.parametrize("dimmed", [0.4, 1.0, 1.2])
    def test_transparency_is_the_light_that_is_left(self, dimmed: float) -> None:
        found = align(*two_views(pose(dx=5.0), dimmed=dimmed), SHAPE)
        assert found.transparency == pytest.approx(dimmed, rel=1e-9)

    def test_per_exposure_time(self) -> None:
        views = two_views(pose(dx=5.0), dimmed=1.5)
        assert align(*views, SHAPE, exposure_ratio=3.0).transparency == pytest.approx(0.5)

    def test_one_flaring_star_does_not_change_it(self) -> None:
        reference, frame = two_views(pose(dx=5.0))
        flux = frame.flux * np.where(np.arange(frame.count) == 3, 50.0, 1.0)
        found = align(reference, star_list(frame.x, frame.y, flux), SHAPE)
        assert found.transparency == pytest.approx(1.0)


def empty(n: int) -> StarList:
    return star_list(*np.ones((3, n)))


class TestRefusals:
    def test_an_alignment_error_is_unusable_data(self) -> None:
        assert issubclass(AlignmentError, UnusableDataError)

    def test_too_few_stars(self) -> None:
        reference, _ = two_views(pose())
        with pytest.raises(AlignmentError, match="the frame has 3 stars, 4 are needed"):
            align(reference, empty(3), SHAPE)
        with pytest.raises(AlignmentError, match="the reference has 0 stars"):
            align(empty(0), reference, SHAPE)

    @pytest.mark.parametrize("n", [10, 100, 600])
    def test_another_field(self, n: int) -> None:
        (reference, _), (other, _) = two_views(pose(), n=n), two_views(pose(), n=n, seed=2)
        few = min(reference.count, other.count) < FEW_STARS
        doubt = "no shift is certain" if few else r"is it the same field\?"
        with pytest.raises(AlignmentError, match=f"no significant shift.*{doubt}"):
            align(reference, other, SHAPE)

    def test_stars_all_in_one_place(self) -> None:
        with pytest.raises(AlignmentError):
            align(empty(50), empty(50), SHAPE)

    def test_residual_too_large(self) -> None:
        views = two_views(pose(), noise_pix=0.6)
        with pytest.raises(AlignmentError, match=r"scatter by .* px about the fit, more than 0.50"):
            align(*views, SHAPE, max_residual_pix=0.5)

    def test_a_shift_beyond_the_limit(self) -> None:
        with pytest.raises(AlignmentError, match="no significant shift"):
            align(*two_views(pose(dx=150.0)), SHAPE, max_shift_pix=50.0)

    @pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan")])
    def test_exposures_that_cannot_be(self, ratio: float) -> None:
        stars, _ = two_views(pose())
        with pytest.raises(ValueError, match="exposure_ratio must be positive"):
            align(stars, stars, SHAPE, exposure_ratio=ratio)


def test_lists_are_left_as_they_were() -> None:
    views = two_views(pose(0.4, 1.0, 9.0, 9.0))
    before: list[NDArray[np.float64] | bytes] = [v.to_bytes() for v in views]
    align(*views, SHAPE)
    assert [v.to_bytes() for v in views] == before
