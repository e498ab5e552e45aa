"""Dimming a star in the pixels: its light, its noise, its neighbours; and what is counted."""

import numpy as np
import pytest

from tianyu.pipelines.science.completeness import measure_completeness
from tianyu.pipelines.science.injection import Disc, dim_stars
from tianyu.pipelines.science.trapezoid import fit_trapezoid, trapezoid_fisher_errors

DISC = Disc(12.0, 12.0, 20.0)
GAIN, SKY = 2.0, 200.0
X = Y = 40.3


def frames(n, flux_e, rng, factor=1.0):
    """Frames of one star on 80² pixels, ADU, integers: Poisson noise and 3 e of read-out."""
    y, x = np.mgrid[:80, :80]
    profile = np.exp(-0.5 * ((x - X) ** 2 + (y - Y) ** 2) / 1.8**2) / (2 * np.pi * 1.8**2)
    electrons = rng.poisson(factor * flux_e * profile + SKY, size=(n, 80, 80))
    return np.rint((electrons + 3.0 * rng.normal(size=electrons.shape)) / GAIN).astype(np.int16)


def sums(stack):
    y, x = np.mgrid[:80, :80]
    distance = np.hypot(x - X, y - Y)
    sky = np.median(stack[:, (distance > 25) & (distance < 33)], axis=1)
    inside = distance < 6.0
    return stack[:, inside].sum(axis=1) - inside.sum() * sky


def dimmed(stack, factor, rng, gain=GAIN):
    one = np.ones(1)
    return np.stack([
        dim_stars(f, X * one, Y * one, factor * one, DISC, gain_e_per_adu=gain, rng=rng)
        for f in stack
    ])  # fmt: skip


@pytest.mark.parametrize(("flux_e", "factor"), [(2e5, 0.98), (2e4, 0.99), (3e3, 0.7)])
def test_light_and_noise_are_those_of_a_fainter_star(flux_e, factor):
    rng = np.random.default_rng(5)
    untouched = frames(300, flux_e, rng)
    injected, true = sums(dimmed(untouched, factor, rng)), sums(frames(300, flux_e, rng, factor))
    noise = true.std() / np.sqrt(300)
    # The same photons before and after: only what was added differs, so the mean is sharp.
    ratio = injected.mean() / sums(untouched).mean()
    assert ratio == pytest.approx(factor, abs=3 * noise / true.mean() + 2e-4)
    assert injected.std() == pytest.approx(true.std(), rel=0.15)


def test_a_signal_below_one_count_is_not_rounded_away():
    flat = np.full((80, 80), 100, np.uint16)
    flat[35:46, 35:46] = 110
    rng = np.random.default_rng(1)
    lost = 110.0 - dimmed(np.repeat(flat[None], 400, axis=0), 0.98, rng)[:, 38:43, 38:43].mean()
    assert lost == pytest.approx(0.2, rel=0.05)


def test_nothing_beyond_the_disc_and_no_star_at_the_rim_changes():
    rng = np.random.default_rng(2)
    frame = frames(1, 1e5, rng)[0]
    after = dimmed(frame[None], 0.5, rng)[0]
    y, x = np.mgrid[:80, :80]
    outside = np.hypot(x - X, y - Y) > DISC.radius + 1
    np.testing.assert_array_equal(after[outside], frame[outside])
    rim = dim_stars(frame, np.array([3.0]), np.array([40.0]), np.array([0.5]), DISC,
                    gain_e_per_adu=1.0, rng=rng)  # fmt: skip
    np.testing.assert_array_equal(rim, frame)


def test_a_brightening_is_refused():
    with pytest.raises(ValueError, match="only be dimmed"):
        dimmed(np.ones((1, 80, 80)), 1.01, np.random.default_rng(0))


def test_completeness_by_hand():
    recovered = np.array([True, True, True, False])
    injected = np.full(4, 0.02)
    size = np.array([0.021, 0.020, 0.019, 0.0])
    minutes = np.array([1.0, -1.0, 1.0, 50.0]) / 1440.0
    found = measure_completeness(
        recovered, injected, size, np.full(4, 0.001), minutes, np.full(4, 1.0 / 1440.0)
    )
    assert (found.n_injected, found.n_recovered, found.fraction) == (4, 3, 0.75)
    assert found.low < 0.75 < found.high
    assert found.size_bias == pytest.approx(0.0, abs=1e-12)
    assert found.time_error_min == pytest.approx(1.0)
    assert found.time_over_fisher == pytest.approx(1.0)


def test_nothing_recovered_is_no_number():
    none = np.zeros(3)
    found = measure_completeness(none.astype(bool), none + 0.01, none, none, none, none)
    assert (found.fraction, found.low) == (0.0, 0.0)
    assert np.isnan(found.size_bias)


def test_mid_times_reach_the_fisher_limit():
    """Fits of many noisy transits scatter by at most 1.2 times the Cramér-Rao error."""
    rng = np.random.default_rng(8)
    time = np.linspace(0.0, 0.29, 140)
    from tianyu.pipelines.science.trapezoid import trapezoid_shape

    truth = 1.0 - 0.02 * trapezoid_shape(time, 0.14, 0.11, 0.02)
    errors = [
        fit_trapezoid(time, truth + 0.003 * rng.normal(size=time.size), start=(0.14, 0.09)).mid_time
        - 0.14
        for _ in range(80)
    ]
    limit = trapezoid_fisher_errors(time, 0.02, 0.14, 0.11, 0.02, 0.003)[1]
    assert 0.8 < np.std(errors) / limit < 1.2
