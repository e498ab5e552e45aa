"""Taking a stored error apart: the terms add up to what the measurement put together."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tianyu.cli.provenance.noise import Circumstances, error_terms
from tianyu.pipelines.science.noise import circle_noise_area, flux_error, scintillation

AROUND = Circumstances("electron", 2.0, 3.0, 4.0, 1.2, 60.0, 0.5, 2000.0)


@given(
    flux_adu=st.floats(-100, 1e5),
    rms=st.floats(0.5, 30),
    gain=st.floats(0.2, 5),
    radius=st.floats(1.5, 12),
    annulus=st.floats(50, 2000),
)
def test_the_terms_are_those_that_were_put_together(flux_adu, rms, gain, radius, annulus):
    area = math.pi * radius**2
    around = Circumstances("electron", gain, rms, None, None, None, None, None)
    error = gain * float(
        flux_error(
            flux_adu, area, rms, gain,
            noise_area_pix=circle_noise_area(radius), annulus_area_pix=annulus,
        )
    )  # fmt: skip
    terms = error_terms(gain * flux_adu, error, radius, around)
    assert terms.source == pytest.approx(math.sqrt(max(gain * flux_adu, 0.0)))
    assert terms.sky == pytest.approx(gain * rms * math.sqrt(circle_noise_area(radius)))
    assert terms.background == pytest.approx(gain * rms * area / math.sqrt(annulus), rel=1e-4)
    assert terms.source**2 + terms.sky**2 + terms.background**2 == pytest.approx(error**2)


def test_read_out_noise_and_scintillation_are_those_of_the_formulae():
    terms = error_terms(10000.0, 200.0, 3.0, AROUND)
    assert terms.read_out == pytest.approx(4.0 * math.sqrt(circle_noise_area(3.0)))
    expected = 10000.0 * scintillation(1.2, 60.0, 0.5, 2000.0)
    assert terms.scintillation == pytest.approx(float(expected))


def test_in_adu_without_a_gain_the_source_is_not_known():
    around = Circumstances("adu", None, 3.0, 4.0, None, None, None, None)
    terms = error_terms(1000.0, 20.0, 3.0, around)
    assert (terms.source, terms.read_out, terms.scintillation) == (None, None, None)
    assert terms.sky == pytest.approx(3.0 * math.sqrt(circle_noise_area(3.0)))


def test_where_nothing_was_measured_nothing_is_said():
    assert error_terms(None, None, 3.0, AROUND).sky is None
