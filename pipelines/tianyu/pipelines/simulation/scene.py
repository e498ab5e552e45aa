"""The scene of a night: stars, the signals in three of them, the detector, the weather."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray, IntArray
from tianyu.pipelines.simulation import ephemeris
from tianyu.pipelines.simulation.conditions import FrameConditions, night_conditions
from tianyu.pipelines.simulation.detector import Detector, make_detector
from tianyu.pipelines.simulation.plan import NightPlan
from tianyu.pipelines.simulation.psf import MoffatPsf
from tianyu.pipelines.simulation.signals import Eclipse, Pulsation, Signal, Transit
from tianyu.pipelines.simulation.streams import Stream, generator
from tianyu.pipelines.simulation.wcs import scene_wcs

SKIRT_PIX = 48
"""Stars are drawn this far beyond the area that the drift sweeps: their wings count."""

HOST_MARGIN_PIX = 40.0
"""A star with a signal stays this far from every edge, in every frame."""


@dataclass(frozen=True, eq=False)
class Stars:
    """The constant stars of the field, brightest and faintest mixed; arrays of shape (n,).

    Attributes
    ----------
    x, y : ndarray of float64
        Pixels of the scene: those of a frame with dx = dy = rotation = 0.
    mag : ndarray of float64
    flux_e : ndarray of float64
        Electrons per exposure, over the whole profile, at the zenith, through clear air.
    ra_deg, dec_deg : ndarray of float64
        ICRS.
    """

    x: FloatArray
    y: FloatArray
    mag: FloatArray
    flux_e: FloatArray
    ra_deg: FloatArray
    dec_deg: FloatArray

    def __len__(self) -> int:
        return int(self.x.size)


@dataclass(frozen=True, eq=False)
class Scene:
    """All that the frames of a night have in common.

    Attributes
    ----------
    plan : NightPlan
    stars : Stars
    frames : tuple of FrameConditions
        One per light.
    signals : tuple of Signal
    relative_flux : ndarray of float64, shape (n_signals, n_light)
        Each signal at its own star's BJD_TDB of mid-exposure.
    detector : Detector
    """

    plan: NightPlan
    stars: Stars
    frames: tuple[FrameConditions, ...]
    signals: tuple[Signal, ...]
    relative_flux: FloatArray
    detector: Detector


@lru_cache(maxsize=2)
def build_scene(plan: NightPlan) -> Scene:
    """Build what all frames of a night share; the last two plans are remembered.

    Raises
    ------
    ValueError
        If the field stands too low, or no star stays on the detector all night.
    """
    frames = night_conditions(plan)
    x, y, mag = draw_stars(plan)
    planned = _planned_signals(plan, frames)
    hosts = choose_hosts(plan, frames, x, y, mag, n=len(planned))
    for star, (host_mag, _) in zip(hosts, planned, strict=True):
        mag[star] = host_mag
    ra_deg, dec_deg = scene_wcs(plan).to_sky(x, y)
    flux_e = plan.flux_e(0.0) * 10.0 ** (-0.4 * mag)
    stars = Stars(x, y, mag, flux_e, ra_deg, dec_deg)
    signals = tuple(
        _on_star(signal, int(star)) for star, (_, signal) in zip(hosts, planned, strict=True)
    )
    detector = make_detector(plan.camera, plan.shape, plan.seed)
    return Scene(plan, stars, frames, signals, _relative_flux(plan, stars, signals), detector)


def draw_stars(plan: NightPlan) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Positions (pixels of the scene) and magnitudes of the field's stars.

    Positions are uniform; the number of stars grows by ``count_slope`` dex per magnitude
    between the two limits, as star counts away from the galactic plane do.
    """
    rng = generator(plan.seed, Stream.STARS)
    reach = plan.field.reach_pix
    if reach is None:
        reach = SKIRT_PIX + float(np.max(np.abs(plan.tracking.drift_pix)))
    width, height = plan.width + 2 * reach, plan.height + 2 * reach
    n = round(plan.n_stars * width * height / (plan.width * plan.height))
    x = rng.uniform(-reach, plan.width - 1 + reach, n)
    y = rng.uniform(-reach, plan.height - 1 + reach, n)
    return x, y, magnitudes(plan, n, rng)


def magnitudes(plan: NightPlan, n: int, rng: np.random.Generator) -> FloatArray:
    """Draw ``n`` magnitudes between the field's limits from its exponential star counts."""
    field = plan.field
    slope = field.count_slope * np.log(10.0)
    top = np.expm1(slope * (field.faint_mag - field.bright_mag))
    return np.asarray(field.bright_mag + np.log1p(rng.random(n) * top) / slope, dtype=np.float64)


def choose_hosts(
    plan: NightPlan,
    frames: tuple[FrameConditions, ...],
    x: FloatArray,
    y: FloatArray,
    mag: FloatArray,
    n: int,
) -> IntArray:
    """Return the ``n`` stars into which the neighbours shine least, best first.

    Only stars that stay on the detector all night are asked; the light of the neighbours is
    that of a Moffat profile in the night's worst seeing.

    Raises
    ------
    ValueError
        If fewer than ``n`` stars stay on the detector.
    """
    stays = np.ones(x.size, dtype=np.bool_)
    for frame in frames:
        fx, fy = frame.transform(plan.centre).apply(x, y)
        stays &= (fx >= HOST_MARGIN_PIX) & (fx <= plan.width - 1 - HOST_MARGIN_PIX)
        stays &= (fy >= HOST_MARGIN_PIX) & (fy <= plan.height - 1 - HOST_MARGIN_PIX)
    candidates = np.flatnonzero(stays)
    if candidates.size < n:
        raise ValueError(
            f"only {candidates.size} stars stay on the detector all night, {n} are to carry "
            "signals; ask for more stars, a larger frame or less drift"
        )
    psf = MoffatPsf(max(plan.weather.fwhm_pix), plan.weather.moffat_beta)
    distance2 = (x[candidates, None] - x) ** 2 + (y[candidates, None] - y) ** 2
    light = 10.0 ** (-0.4 * mag) * (1.0 + distance2 / psf.alpha_pix**2) ** -psf.beta
    light[np.arange(candidates.size), candidates] = 0.0
    return candidates[np.argsort(light.sum(axis=1), kind="stable")[:n]]


def _planned_signals(
    plan: NightPlan, frames: tuple[FrameConditions, ...]
) -> tuple[tuple[float, Signal], ...]:
    """Magnitude of the host and signal, for each signal that is asked for; not yet on a star."""
    if not frames:
        return ()
    want = plan.signals
    begin = frames[0].bjd_tdb_mid
    span = frames[-1].bjd_tdb_mid - begin
    transit = Transit(
        -1,
        begin + want.transit_mid_fraction * span,
        want.transit_duration_h / 24.0,
        want.transit_depth,
        want.transit_ingress_fraction,
    )
    pulsation = Pulsation(-1, begin, want.pulsation_period_h / 24.0, want.pulsation_amplitude_mag)
    eclipse = Eclipse(
        -1,
        begin + want.eclipse_mid_fraction * span,
        want.eclipse_duration_h / 24.0,
        want.eclipse_depth,
    )
    more = (
        (
            one.depth,
            one.mag,
            Transit(
                -1,
                begin + one.mid_fraction * span,
                one.duration_h / 24.0,
                one.depth,
                one.ingress_fraction,
            ),
        )
        for one in want.more_transits
    )
    every: tuple[tuple[float, float, Signal], ...] = (
        (want.transit_depth, want.transit_mag, transit),
        (want.pulsation_amplitude_mag, want.pulsation_mag, pulsation),
        (want.eclipse_depth, want.eclipse_mag, eclipse),
        *more,
    )
    return tuple((mag, signal) for size, mag, signal in every if size != 0.0)


def _on_star(signal: Signal, star: int) -> Signal:
    """Return the signal with its star."""
    return replace(signal, star=star)


def _relative_flux(plan: NightPlan, stars: Stars, signals: tuple[Signal, ...]) -> FloatArray:
    """Each signal at its own star's barycentric times, shape ``(n_signals, n_light)``."""
    result = np.ones((len(signals), plan.n_light))
    if plan.n_light == 0:
        return result
    utc = ephemeris.mid_exposures(plan)
    for row, signal in zip(result, signals, strict=True):
        ra, dec = float(stars.ra_deg[signal.star]), float(stars.dec_deg[signal.star])
        row[:] = signal.relative_flux(ephemeris.bjd_tdb(utc, ra, dec))
    return result
