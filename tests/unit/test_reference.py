"""What the choice of a reference, its canvas and its first limits promise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.science.reference import (
    ProvisionalLimits,
    choose_reference,
    drift_bounds,
    spaced,
)
from tianyu.pipelines.science.selection import FrameMetrics
from tianyu.pipelines.science.starlist import StarList
from tianyu.pipelines.science.transform import AffineTransform

SHAPE = (400, 500)


def candidate(n_detected: int, fwhm_pix: float = 3.0, threshold_sigma: float = 10.0) -> StarList:
    columns = np.ones((7, min(n_detected, 50)))
    columns[4] = fwhm_pix
    return StarList(*columns, n_detected=n_detected, threshold_sigma=threshold_sigma)


class TestSpaced:
    @pytest.mark.parametrize(
        ("n", "at_most", "expected"),
        [
            (0, 9, []),
            (1, 9, [0]),
            (5, 9, [0, 1, 2, 3, 4]),
            (9, 9, list(range(9))),
            (17, 9, [0, 2, 4, 6, 8, 10, 12, 14, 16]),
            (142, 3, [0, 70, 141]),
            (10, 1, [4]),
        ],
    )
    def test_worked_numbers(self, n: int, at_most: int, expected: list[int]) -> None:
        assert spaced(n, at_most) == expected

    @given(n=st.integers(2, 5000), at_most=st.integers(2, 40))
    def test_first_and_last_are_there_and_gaps_are_even(self, n: int, at_most: int) -> None:
        indices = spaced(n, at_most)
        gaps = np.diff(indices)
        assert (indices[0], indices[-1], len(indices)) == (0, n - 1, min(n, at_most))
        assert gaps.min() >= 1
        assert gaps.max() - gaps.min() <= 1

    @pytest.mark.parametrize(("n", "at_most"), [(-1, 9), (5, 0)])
    def test_impossible_requests(self, n: int, at_most: int) -> None:
        with pytest.raises(ValueError, match="cannot spread"):
            spaced(n, at_most)


class TestChooseReference:
    def test_most_stars(self) -> None:
        assert choose_reference([candidate(90), candidate(120), candidate(100)]) == 1

    def test_of_equal_counts_the_sharper_and_then_the_first(self) -> None:
        assert choose_reference([candidate(90, 3.0), candidate(90, 2.0), candidate(90, 2.0)]) == 1

    def test_the_count_and_not_the_length_of_the_list_decides(self) -> None:
        assert choose_reference([candidate(2000), candidate(2001, 9.0)]) == 1

    def test_without_any_star_the_first_is_as_good_as_another(self) -> None:
        assert choose_reference([candidate(0), candidate(0)]) == 0

    def test_counts_at_different_thresholds_do_not_compare(self) -> None:
        with pytest.raises(ValueError, match="different thresholds"):
            choose_reference([candidate(90), candidate(95, threshold_sigma=5.0)])

    def test_no_candidates(self) -> None:
        with pytest.raises(ValueError, match="no candidates"):
            choose_reference([])


class TestDriftBounds:
    def test_a_night_that_does_not_drift_needs_the_frame_only(self) -> None:
        jitter = [AffineTransform.translation(dx, -dx) for dx in (-0.4, 0.0, 0.3)]
        assert drift_bounds(jitter, SHAPE) == (0, 0, 500, 400)

    def test_both_ways(self) -> None:
        # x_frame = x_ref + dx: a frame moved by +40 begins at reference pixel -40.
        moves = [AffineTransform.translation(40.0, -10.0), AffineTransform.translation(-60.0, 5.0)]
        assert drift_bounds(moves, SHAPE) == (-40, -5, 600, 415)

    def test_a_flipped_frame_covers_the_same_pixels(self) -> None:
        upright = AffineTransform.translation(30.0, 20.0)
        half_turn = AffineTransform(a=-1.0, d=-1.0, tx=499.0, ty=399.0)
        flipped = half_turn.compose(upright)
        assert (
            drift_bounds([flipped], SHAPE) == drift_bounds([upright], SHAPE) == (-30, -20, 530, 420)
        )

    def test_rotation_needs_room_for_corners(self) -> None:
        angle = math.radians(2.0)
        cos, sin = math.cos(angle), math.sin(angle)
        x0, y0, width, height = drift_bounds([AffineTransform(cos, -sin, sin, cos)], SHAPE)
        # About pixel (0, 0): 499·cos + 399·sin = 512.6 to the right, 499·sin = 17.4 upwards.
        assert (x0, width) == (0, 514)
        assert (y0, height) == (-17, 417)

    def test_the_cap_cuts_both_sides_in_proportion_and_keeps_the_reference(self) -> None:
        moves = [AffineTransform.translation(dx, 0.0) for dx in (300.0, -100.0)]
        # 400 px of drift on 500; 250 are allowed, 3/4 of them (187.5) before.
        assert drift_bounds(moves, SHAPE) == (-188, 0, 750, 400)
        assert drift_bounds(moves, SHAPE, max_canvas=1.0) == (0, 0, 500, 400)

    @given(
        moves=st.lists(st.tuples(st.floats(-900, 900), st.floats(-900, 900)), max_size=9),
        max_canvas=st.floats(1.0, 3.0),
    )
    def test_the_canvas_holds_the_reference_and_stays_below_the_cap(
        self, moves, max_canvas
    ) -> None:
        transforms = [AffineTransform.translation(dx, dy) for dx, dy in moves]
        x0, y0, width, height = drift_bounds(transforms, SHAPE, max_canvas=max_canvas)
        assert x0 <= 0
        assert y0 <= 0
        assert x0 + width >= 500
        assert y0 + height >= 400
        assert width <= 500 * max_canvas
        assert height <= 400 * max_canvas

    def test_a_canvas_smaller_than_the_frame_is_refused(self) -> None:
        with pytest.raises(ValueError, match="must hold the reference frame"):
            drift_bounds([], SHAPE, max_canvas=0.9)


def metrics(n_stars, sky_rms, transparency=None, aligned=None) -> FrameMetrics:
    n = len(n_stars)
    return FrameMetrics(
        np.array(n_stars),
        np.array(sky_rms),
        np.ones(n) if transparency is None else np.array(transparency),
        np.ones(n, dtype=bool) if aligned is None else np.array(aligned),
    )


class TestProvisionalLimits:
    STARS = (100, 104, 96, 102, 98, 100, 106, 94, 100)
    RMS = (5.0, 5.1, 4.9, 5.0, 5.2, 4.8, 5.0, 5.1, 4.9)

    def test_worked_numbers(self) -> None:
        # Stars: median 100, MAD 2 and σ 2.97, so 5σ = 14.8 is less than a quarter, 25.
        # Sky: median 5, MAD 0.1, 5σ = 0.74 is less than a quarter, 1.25.
        limits = ProvisionalLimits.from_metrics(metrics(self.STARS, self.RMS))
        assert (limits.min_stars, limits.max_stars) == pytest.approx((75.0, 125.0))
        assert limits.max_sky_rms == pytest.approx(6.25)

    def test_scatter_widens_them(self) -> None:
        stars = (60, 80, 100, 120, 140)  # median 100, MAD 20
        limits = ProvisionalLimits.from_metrics(metrics(stars, self.RMS[:5]))
        assert limits.max_stars == pytest.approx(100 + 5 * 1.4826 * 20)

    @pytest.mark.parametrize(
        ("change", "good"),
        [
            ({}, True),
            ({"n_stars": 74.0}, False),
            ({"n_stars": 126.0}, False),
            ({"sky_rms": 6.3}, False),
            ({"sky_rms": 0.1}, True),
            ({"transparency": 0.49}, False),
            ({"transparency": float("nan")}, False),
            ({"n_stars": float("nan")}, False),
            ({"aligned": False}, False),
        ],
    )
    def test_verdicts(self, change: dict[str, float], good: bool) -> None:
        limits = ProvisionalLimits.from_metrics(metrics(self.STARS, self.RMS))
        frame = {"n_stars": 100.0, "sky_rms": 5.0, "transparency": 1.0} | change
        assert limits.is_good(**frame) is good

    def test_cloudy_and_unaligned_frames_do_not_set_them(self) -> None:
        clear = ProvisionalLimits.from_metrics(metrics(self.STARS, self.RMS))
        spoiled = metrics(
            (*self.STARS, 3, 2),
            (*self.RMS, 50.0, 60.0),
            [1.0] * 9 + [0.2, 1.0],
            [True] * 10 + [False],
        )
        assert ProvisionalLimits.from_metrics(spoiled) == clear

    def test_without_a_good_frame_only_transparency_is_asked(self) -> None:
        limits = ProvisionalLimits.from_metrics(metrics([3], [5.0], [0.1]))
        assert limits.is_good(n_stars=0.0, sky_rms=1e9, transparency=0.6)
        assert not limits.is_good(n_stars=0.0, sky_rms=1e9, transparency=0.4)
