"""CDPP of every source of a run beside what theory grants, part by part."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tianyu.cli.queries.instrument_facts import InstrumentFacts
from tianyu.cli.queries.run_curves import RunCurves
from tianyu.pipelines.flux_plan import ANNULUS_FWHM, beyond
from tianyu.pipelines.science.annulus import ANNULUS_VARIANCE_FACTOR
from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.cdpp import expected_cdpp, measure_cdpp
from tianyu.pipelines.science.noise import (
    NoiseBudget,
    circle_noise_area,
    scintillation,
    theoretical_noise,
)
from tianyu.pipelines.science.scatter import finite_median
from tianyu.pipelines.science.transitfit import night_numbers

PARTS = ("source", "sky", "readout", "scintillation")
N_CLASS = 3


@dataclass(frozen=True)
class PrecisionClass:
    """Medians over a third of the sources by brightness; noises in ppm."""

    name: str
    n_source: int
    brightest: float
    faintest: float
    cdpp: float
    theory: float
    ratio: float
    from_errors: float
    """What the stored errors of the relative fluxes predict."""
    ratio_to_errors: float


@dataclass(frozen=True, eq=False)
class Precision:
    """CDPP and theory of every source, shape (n_source,), ppm.

    Attributes
    ----------
    parts : mapping of str to ndarray
        Source, sky, readout and scintillation on the scale of the CDPP.
    missing : list of str
        What theory had to leave out or to guess, in words.
    """

    curves: RunCurves
    cdpp: FloatArray
    parts: dict[str, FloatArray]
    from_errors: FloatArray
    response: float
    missing: list[str]
    classes: list[PrecisionClass]

    @property
    def theory(self) -> FloatArray:
        """Quadratic sum of the parts."""
        return np.asarray(np.sqrt(sum(part**2 for part in self.parts.values())))


def measure_precision(curves: RunCurves, facts: InstrumentFacts) -> Precision:
    """Measure the 0.5 h CDPP after the 1 h filter, and compute the theoretical one.

    Theory is the CCD equation with the flux, the noise of the sky and the airmass of each
    frame, in the aperture of each source. The noise of a pixel is that in the ring about the
    source, and it counts as often as in the errors of the fluxes: the mesh takes the wings of
    stars for noise. Both predictions, theory and the stored errors, become what the measure
    would show of such noise (:func:`~tianyu.pipelines.science.cdpp.expected_cdpp`). Without a
    gain there is no photon noise of the source, and the noise of the ring stands for sky and
    read-out together.

    Parameters
    ----------
    curves : RunCurves
    facts : InstrumentFacts
    """
    longest = int(np.argmax(np.bincount(night_numbers(curves.time))))
    here = night_numbers(curves.time) == longest
    cdpp = measure_cdpp(curves.time[here], curves.flux[:, here])
    response = cdpp.white_noise_response
    budget, missing = _budget(curves, facts, here)
    time, flux = curves.time[here], np.where(budget.flux_e > 0, budget.flux_e, np.nan)
    theory = expected_cdpp(time, budget.relative)
    total = _rms(budget.relative)
    # Parts are shared out by their quadratic means, so that they add up to theory.
    share = theory / np.where(total > 0, total, np.nan)
    parts = {name: share * _rms(getattr(budget, f"{name}_e") / flux) for name in PARTS}
    errors = np.where(np.isfinite(curves.flux), curves.error, np.nan)[:, here]
    from_errors = expected_cdpp(time, errors)
    found = Precision(curves, cdpp.ppm, parts, from_errors, response, missing, [])
    found.classes.extend(_classes(found))
    return found


def _budget(curves: RunCurves, facts: InstrumentFacts, here: Any) -> tuple[NoiseBudget, list[str]]:
    missing = []
    gain, is_electron = facts.gain_e_per_adu, curves.flux_unit == "electron"
    if gain is None:
        missing.append("the gain is not known: no photon noise of the sources; give --gain")
    if facts.read_noise_e is None and gain is not None:
        missing.append("the read noise is not known: the sky's measured rms holds it")
    if facts.aperture_m is None:
        missing.append("the telescope's diameter is not known: no scintillation; give --aperture")
    if facts.gain_origin is not None:
        missing.append(f"the gain of {gain:.3g} e/ADU is not stated but measured: "
                       f"{facts.gain_origin}")  # fmt: skip
    # Of a unit of flux, and of an ADU.
    g = 1.0 if gain is None else gain
    unit = 1.0 if is_electron else g
    flux = unit * curves.mean_flux[:, None] * _throughput(curves)[None, here]
    relative = np.zeros(int(here.sum()))
    if facts.aperture_m is not None:
        airmass = np.nan_to_num(curves.airmass[here], nan=1.0)
        relative = scintillation(
            airmass, curves.exposure_s[here], facts.aperture_m, facts.altitude_m or 0.0
        )
    is_budget_known = gain is not None and facts.read_noise_e is not None
    # The measured variance of a sky pixel, in electrons², is as good as a level of so many.
    sky = _pixel_noise(curves, unit, g)[:, here] ** 2
    if is_budget_known:
        sky = np.maximum(sky - float(facts.read_noise_e or 0.0) ** 2, 0.0)
    radius = curves.radius_pix[:, None]
    fwhm = float(np.nanmedian(curves.fwhm_pix))
    ring = (ANNULUS_FWHM[0] * fwhm, ANNULUS_FWHM[1] * fwhm)
    inner, outer = beyond(ring, float(np.nanmax(curves.radius_pix)))
    budget = theoretical_noise(
        flux,
        area_pix=np.pi * radius**2,
        noise_area_pix=circle_noise_area(radius),
        background_variance_factor=ANNULUS_VARIANCE_FACTOR,
        sky_e_per_pix=sky,
        readout_e=float(facts.read_noise_e or 0.0) if is_budget_known else 0.0,
        annulus_area_pix=np.pi * (outer**2 - inner**2),
        relative_scintillation=relative[None, :],
    )
    if gain is None:
        budget = NoiseBudget(
            budget.flux_e, np.zeros_like(budget.source_e), budget.sky_e, budget.readout_e,
            budget.scintillation_e,
        )  # fmt: skip
    return budget, missing


def _throughput(curves: RunCurves) -> FloatArray:
    """Return the light of each frame over the mean of the night, shape (n_frame,)."""
    ratio = curves.raw_flux / np.where(curves.mean_flux > 0, curves.mean_flux, np.nan)[:, None]
    chosen = curves.is_reference if curves.is_reference.any() else np.ones(curves.n_source, bool)
    found = finite_median(ratio[chosen].T)
    return np.where(found > 0, found, 1.0)


def _pixel_noise(curves: RunCurves, unit: float, gain: float) -> FloatArray:
    """Return the noise of a sky pixel at each source in each frame, electrons.

    Where a ring had too few pixels it is the frame's median, without any the mesh's.
    """
    ring = np.where(curves.pixel_rms > 0, unit * curves.pixel_rms, np.nan)
    of_frame = finite_median(ring.T)
    of_frame = np.where(np.isfinite(of_frame), of_frame, gain * curves.sky_rms)
    return np.where(np.isfinite(ring), ring, of_frame[None, :])


def _rms(values: FloatArray) -> FloatArray:
    """Quadratic mean along the last axis over finite values; NaN without one."""
    finite = np.isfinite(values)
    n = finite.sum(axis=-1)
    mean = np.where(finite, values, 0.0) ** 2
    return np.where(n > 0, np.sqrt(mean.sum(axis=-1) / np.maximum(n, 1)), np.nan)


def _classes(found: Precision) -> list[PrecisionClass]:
    flux = found.curves.mean_flux
    usable = np.flatnonzero((flux > 0) & np.isfinite(found.cdpp) & np.isfinite(found.theory))
    order = usable[np.argsort(-flux[usable], kind="stable")]
    names = ("bright", "middle", "faint")
    classes = []
    for name, part in zip(names, np.array_split(order, N_CLASS), strict=True):
        if part.size:
            with_theory = np.where(found.theory[part] > 0, found.theory[part], np.nan)
            classes.append(
                PrecisionClass(
                    name=name,
                    n_source=int(part.size),
                    brightest=float(flux[part].max()),
                    faintest=float(flux[part].min()),
                    cdpp=float(np.median(found.cdpp[part])),
                    theory=float(finite_median(found.theory[part])),
                    ratio=float(finite_median(found.cdpp[part] / with_theory)),
                    from_errors=float(finite_median(found.from_errors[part])),
                    ratio_to_errors=float(
                        finite_median(found.cdpp[part] / found.from_errors[part])
                    ),
                )
            )
    return classes


def precision_table(found: Precision) -> dict[str, Any]:
    """Return the columns of the table of all sources."""
    curves = found.curves
    return {
        "source_id": curves.source_id,
        "source_name": curves.name,
        "mean_flux": curves.mean_flux,
        "instrumental_magnitude": -2.5 * np.log10(np.where(curves.mean_flux > 0,
                                                            curves.mean_flux, np.nan)),
        "radius_pix": curves.radius_pix,
        "cdpp_ppm": found.cdpp,
        "theory_ppm": found.theory,
        **{f"{name}_ppm": part for name, part in found.parts.items()},
        "from_errors_ppm": found.from_errors,
    }  # fmt: skip
