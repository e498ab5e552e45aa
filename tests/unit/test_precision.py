"""CDPP beside theory: 1 at every brightness where the noise is what the numbers say."""

from dataclasses import replace

import numpy as np
import pytest

from tianyu.cli.analysis.precision import measure_precision
from tianyu.cli.queries.instrument_facts import InstrumentFacts
from tianyu.cli.queries.run_curves import RunCurves
from tianyu.pipelines.science.annulus import ANNULUS_VARIANCE_FACTOR
from tianyu.pipelines.science.noise import circle_noise_area, flux_error, scintillation

N_STAR, N_FRAME = 240, 120
FACTS = InstrumentFacts(1.6, 7.0, 0.5, 2000.0, None, None, None)
FWHM, RADII = 3.0, np.array([3.0, 4.5, 6.0])
RING = np.pi * ((7.0 * FWHM) ** 2 - (4.0 * FWHM) ** 2)


def night(seed: int = 1) -> RunCurves:
    """Stars over eight magnitudes through thin cloud under a sky that the moon brightens.

    The mesh takes the sky for a fifth noisier than the rings: it sees the wings of stars.
    """
    rng = np.random.default_rng(seed)
    time = np.linspace(0.0, 5.0 / 24.0, N_FRAME) + rng.uniform(0.0, 5e-4, N_FRAME)
    mean = np.geomspace(3e5, 300.0, N_STAR)
    radius = RADII[rng.integers(0, 3, N_STAR)]
    light = np.linspace(1.1, 0.9, N_FRAME)
    airmass = np.linspace(1.0, 1.8, N_FRAME)
    pixel_e = np.sqrt(np.linspace(60.0, 240.0, N_FRAME) + 7.0**2)
    flux = mean[:, None] * light
    area = np.pi * radius[:, None] ** 2
    error = flux_error(
        flux, area, pixel_e, 1.0, noise_area_pix=circle_noise_area(radius[:, None]),
        annulus_area_pix=RING, background_variance_factor=ANNULUS_VARIANCE_FACTOR,
    )  # fmt: skip
    twinkle = scintillation(airmass, np.full(N_FRAME, 60.0), 0.5, 2000.0)
    relative_error = np.hypot(error / flux, twinkle)
    relative = 1.0 + relative_error * rng.standard_normal((N_STAR, N_FRAME))
    ring = pixel_e * (1.0 + 0.05 * rng.standard_normal((N_STAR, N_FRAME)))
    zero, of_star = np.zeros(N_FRAME), np.zeros(N_STAR)
    return RunCurves(
        run=1, flux_unit="electron", has_bjd=True, source_id=np.arange(N_STAR),
        name=[""] * N_STAR, radius_pix=radius, mean_flux=mean,
        is_reference=np.arange(N_STAR) < 60, x=of_star, y=of_star, ra_deg=of_star,
        dec_deg=of_star, neighbour_pix=of_star, time=time, image_id=np.arange(N_FRAME),
        airmass=airmass, fwhm_pix=np.full(N_FRAME, FWHM), sky_level=zero,
        sky_rms=1.2 * pixel_e / 1.6, exposure_s=np.full(N_FRAME, 60.0), flux=relative,
        error=relative_error, raw_flux=flux * relative, pixel_rms=ring,
    )  # fmt: skip


def test_the_ratio_is_one_at_every_brightness() -> None:
    """80 stars a class, their CDPPs good to 10 %: 1σ of a median is 1.4 %."""
    found = measure_precision(night(), FACTS)
    assert found.missing == []
    for part in found.classes:
        assert part.ratio == pytest.approx(1.0, abs=0.05), part.name
        assert part.ratio_to_errors == pytest.approx(1.0, abs=0.05), part.name
        assert part.theory == pytest.approx(part.from_errors, rel=0.02), part.name


def test_the_parts_add_up_and_lead_where_they_should() -> None:
    found = measure_precision(night(), FACTS)
    bright, faint = found.parts["scintillation"][0], found.parts["sky"][-1]
    assert bright > max(found.parts[name][0] for name in ("sky", "readout"))
    assert faint > max(found.parts[name][-1] for name in ("source", "scintillation"))
    total = np.sqrt(sum(part**2 for part in found.parts.values()))
    np.testing.assert_allclose(found.theory, total)


def test_the_unit_of_the_fluxes_does_not_matter() -> None:
    electrons = night()
    per_adu = {"mean_flux": electrons.mean_flux, "raw_flux": electrons.raw_flux,
               "pixel_rms": electrons.pixel_rms}  # fmt: skip
    adu = replace(electrons, flux_unit="adu", **{k: v / 1.6 for k, v in per_adu.items()})
    np.testing.assert_allclose(
        measure_precision(adu, FACTS).theory, measure_precision(electrons, FACTS).theory
    )


def test_without_rings_the_noise_of_the_mesh_is_taken() -> None:
    """It is a fifth larger here, and the faint end, all sky, shows it."""
    rings = measure_precision(night(), FACTS).theory
    none = replace(night(), pixel_rms=np.full((N_STAR, N_FRAME), np.nan))
    assert measure_precision(none, FACTS).theory[-1] / rings[-1] == pytest.approx(1.2, rel=0.03)


def test_what_is_not_known_is_said_and_left_out() -> None:
    found = measure_precision(night(), replace(FACTS, gain_e_per_adu=None, aperture_m=None))
    assert [words.split(":")[0] for words in found.missing] == [
        "the gain is not known",
        "the telescope's diameter is not known",
    ]
    assert not found.parts["source"].any()
    assert not found.parts["scintillation"].any()
