"""Light curves of the simulation have the shapes that their parameters state."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.pipelines.simulation import Eclipse, Pulsation, Transit

TRANSIT = Transit(star=0, mid_bjd_tdb=100.0, duration_d=0.1, depth=0.02, ingress_fraction=0.2)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (99.90, 1.0),  # before
        (99.95, 1.0),  # first contact
        (99.96, 0.99),  # half of the ingress, which takes 0.02 d
        (99.97, 0.98),  # second contact
        (100.0, 0.98),  # middle
        (100.03, 0.98),  # third contact
        (100.04, 0.99),  # half of the egress
        (100.05, 1.0),  # fourth contact
    ],
)
def test_transit_at_its_contacts(time, expected):
    assert TRANSIT.relative_flux(np.array([time]))[0] == pytest.approx(expected, abs=1e-10)


@given(st.floats(0.0, 0.2))
def test_transit_is_even_about_its_middle(delay):
    before, after = TRANSIT.relative_flux(np.array([100.0 - delay, 100.0 + delay]))
    assert before == pytest.approx(after, abs=1e-9)


def test_equivalent_width_of_the_transit():
    # Area of the trapezoid: depth · (duration − ingress) = 0.02 · 0.08 d.
    time = np.linspace(99.9, 100.1, 20001)
    area = np.trapezoid(1.0 - TRANSIT.relative_flux(time), time)
    assert area == pytest.approx(0.0016, rel=1e-6)


def test_pulsation_spans_twice_its_amplitude_once_a_period():
    star = Pulsation(star=0, epoch_bjd_tdb=5.0, period_d=0.2, amplitude_mag=0.1)
    quarters = 5.0 + np.array([0.0, 0.05, 0.1, 0.15, 0.2])
    mag = -2.5 * np.log10(star.relative_flux(quarters))
    np.testing.assert_allclose(mag, [0.0, 0.1, 0.0, -0.1, 0.0], atol=1e-9)


def test_eclipse_is_deepest_in_its_middle_and_over_at_its_ends():
    star = Eclipse(star=0, mid_bjd_tdb=7.0, duration_d=0.4, depth=0.3)
    times = np.array([6.0, 6.8, 6.9, 7.0, 7.1, 7.2, 8.0])
    # cos²(π/4) = 1/2 at a quarter of the duration.
    expected = [1.0, 1.0, 0.85, 0.7, 0.85, 1.0, 1.0]
    np.testing.assert_allclose(star.relative_flux(times), expected, atol=1e-12)
