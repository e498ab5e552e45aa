"""What the selection of a night's frames promises, test by test."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tianyu.pipelines.science.selection import (
    FrameMetrics,
    RejectReason,
    select_frames,
    sigma_clip_limits,
)


def night(n: int = 11, **columns) -> FrameMetrics:
    """A steady night: 95 to 105 stars (MAD 3, σ 4.45), sky rms 9.5 to 10.5 (σ 0.4448)."""
    steps = np.linspace(-1.0, 1.0, n)
    values = {
        "n_stars": 100.0 + 5.0 * steps,
        "sky_rms": 10.0 + 0.5 * steps,
        "transparency": np.ones(n),
        "aligned": np.ones(n, dtype=bool),
    }
    for name, changes in columns.items():
        for frame, value in changes.items():
            values[name][frame] = value
    return FrameMetrics(**values)


def reasons(metrics: FrameMetrics) -> dict[int, RejectReason]:
    return {k: v.reasons for k, v in enumerate(select_frames(metrics)) if not v.is_good}


class TestTests:
    def test_a_steady_night_is_good(self) -> None:
        verdicts = select_frames(night())
        assert all(verdict.is_good and verdict.text == "" for verdict in verdicts)

    def test_star_count_is_clipped_on_both_sides(self) -> None:
        assert reasons(night(n_stars={4: 60.0, 7: 170.0})) == {
            4: RejectReason.FEW_STARS,
            7: RejectReason.MANY_STARS,
        }

    def test_better_seeing_is_no_fault(self) -> None:
        assert reasons(night(n_stars={7: 140.0})) == {}

    def test_sky_rms_is_clipped_upwards_only(self) -> None:
        assert reasons(night(sky_rms={2: 2.0, 3: 20.0})) == {3: RejectReason.NOISY_SKY}

    def test_thin_cloud_is_seen_by_transparency_alone(self) -> None:
        assert reasons(night(transparency={2: 0.5, 5: 0.499})) == {5: RejectReason.CLOUD}

    def test_frames_that_are_not_aligned(self) -> None:
        found = reasons(night(aligned={0: False}, transparency={0: np.nan}))
        assert found == {0: RejectReason.NOT_ALIGNED}

    def test_a_frame_may_fail_several_tests(self) -> None:
        metrics = night(n_stars={6: 12.0}, sky_rms={6: 40.0}, transparency={6: 0.1})
        expected = RejectReason.FEW_STARS | RejectReason.NOISY_SKY | RejectReason.CLOUD
        assert reasons(metrics) == {6: expected}

    @pytest.mark.parametrize("column", ["n_stars", "sky_rms"])
    def test_a_frame_that_was_not_measured(self, column: str) -> None:
        assert reasons(night(**{column: {6: np.nan}})) == {6: RejectReason.NOT_MEASURED}

    def test_an_infinite_rms_is_rejected_and_does_not_spoil_the_rest(self) -> None:
        found = reasons(night(sky_rms={6: np.inf}))
        assert found == {6: RejectReason.NOISY_SKY | RejectReason.NOT_MEASURED}


class TestText:
    def test_says_which_value_how_far_off_and_what_the_others_have(self) -> None:
        # Without the frame of 60: the other ten are 95 … 105 without 99, median 100.5, MAD 3,
        # σ 4.448, and (100.5 − 60)/4.448 = 9.1.
        text = select_frames(night(n_stars={4: 60.0}))[4].text
        assert text == "60 stars, 9.1σ below the median of 100.5"

    def test_one_clause_per_test(self) -> None:
        text = select_frames(night(transparency={4: 0.312}, sky_rms={4: 20.0}))[4].text
        assert text.startswith("sky rms 20.00, ")
        assert text.endswith("σ above the median of 10.05; transparency 0.31, below 0.50")

    def test_not_aligned(self) -> None:
        text = select_frames(night(aligned={4: False}))[4].text
        assert text == "not aligned to the reference frame"


class TestSigmaClip:
    def test_sigma_is_that_of_a_normal_distribution(self) -> None:
        values = np.random.default_rng(1).normal(50.0, 4.0, 20_000)
        limits = sigma_clip_limits(values, lower_sigma=8.0, upper_sigma=8.0)
        assert limits.centre == pytest.approx(50.0, abs=0.1)
        assert limits.sigma == pytest.approx(4.0, rel=0.03)

    def test_a_round_uncovers_what_the_first_one_hid(self) -> None:
        # Median 13, MAD 2 (σ 2.97), 3σ limit 21.9: out goes 40. Then median 12, MAD 2 and
        # limit 20.9: out goes 21. Then median 12, MAD 1.5.
        values = np.array([10.0, 10, 11, 11, 12, 13, 13, 14, 15, 21, 40])
        limits = sigma_clip_limits(values, lower_sigma=3.0, upper_sigma=3.0)
        assert limits.outside(values).tolist() == [False] * 9 + [True] * 2

    def test_fewer_than_five_are_never_clipped(self) -> None:
        values = np.array([1.0, 1.1, 0.9, 1e6])
        assert not sigma_clip_limits(values, upper_sigma=3.0).outside(values).any()
        assert reasons(night(n=4, n_stars={0: 1.0})) == {}

    def test_no_scatter_no_outliers(self) -> None:
        values = np.array([7.0, 7, 7, 7, 7, 9000])
        limits = sigma_clip_limits(values, lower_sigma=3.0, upper_sigma=3.0)
        assert (limits.lower, limits.upper, limits.sigma) == (-np.inf, np.inf, 0.0)

    def test_nothing_at_all(self) -> None:
        assert np.isnan(sigma_clip_limits(np.array([])).centre)
        assert select_frames(FrameMetrics(*np.ones((4, 0)))) == []

    def test_stops_after_five_rounds(self) -> None:
        # Of forty powers of 1.5 the rounds keep 24, 16, 12, 10, 9 and, with a sixth, 8.
        values = 1.5 ** np.arange(40)
        limits = sigma_clip_limits(values, upper_sigma=3.0)
        assert np.count_nonzero(~limits.outside(values)) == 9


@given(
    n_stars=arrays(np.float64, 12, elements=st.integers(0, 300).map(float)),
    sky_rms=arrays(np.float64, 12, elements=st.floats(0.1, 100.0)),
    transparency=arrays(np.float64, 12, elements=st.floats(0.0, 1.5) | st.just(np.nan)),
    aligned=arrays(np.bool_, 12),
    order=st.permutations(range(12)),
)
def test_verdicts_do_not_depend_on_the_order_of_frames(
    n_stars, sky_rms, transparency, aligned, order
) -> None:
    verdicts = select_frames(FrameMetrics(n_stars, sky_rms, transparency, aligned))
    shuffled = FrameMetrics(
        *(column[order] for column in (n_stars, sky_rms, transparency, aligned))
    )
    assert select_frames(shuffled) == [verdicts[k] for k in order]


def test_limits_can_be_set() -> None:
    metrics = night(n_stars={4: 60.0}, sky_rms={5: 20.0}, transparency={6: 0.6})
    strict = select_frames(metrics, min_transparency=0.7)
    assert strict[6].reasons == RejectReason.CLOUD
    lax = select_frames(metrics, star_count_sigma=50.0, sky_rms_sigma=500.0)
    assert all(verdict.is_good for verdict in lax)


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="equally long"):
        FrameMetrics(np.ones(3), np.ones(2), np.ones(3), np.ones(3, dtype=bool))
