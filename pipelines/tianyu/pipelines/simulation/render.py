"""Frames of a simulated night, as arrays and header lines; no files."""

from dataclasses import dataclass

import numpy as np
from astropy.time import Time
from numpy.typing import NDArray

from tianyu.pipelines.science.arrays import FloatArray, FloatImage
from tianyu.pipelines.simulation import ephemeris
from tianyu.pipelines.simulation.conditions import FrameConditions, file_name
from tianyu.pipelines.simulation.detector import Detector, read_out
from tianyu.pipelines.simulation.headers import Card, frame_cards, light_cards
from tianyu.pipelines.simulation.plan import FlatKind, FrameKind, NightPlan
from tianyu.pipelines.simulation.psf import MoffatPsf, render_stars
from tianyu.pipelines.simulation.scene import Scene, build_scene, magnitudes
from tianyu.pipelines.simulation.streams import Stream, generator

AFTERNOON_S = 3.0 * 3600.0
"""Biases and darks start this long before the first light, one every two minutes."""

TWILIGHT_S = 3600.0
"""Flats start this long before the first light, one a minute."""

FLAT_EXPOSURE_S = (3.0, 12.0)
"""Exposures of the first and the last twilight flat: they lengthen as the sky darkens."""

FLAT_STARS = 0.1
"""Stars seen through a twilight flat, as a part of the field's."""


@dataclass(frozen=True, eq=False)
class FrameTruth:
    """What is in a light.

    Attributes
    ----------
    conditions : FrameConditions
        Pointing, seeing, sky, transparency.
    x, y : ndarray of float64, shape (n_stars,)
        Positions in this frame (0-based pixels), on or off the detector.
    flux_e : ndarray of float64, shape (n_stars,)
        Expected electrons, with signals, throughput and scintillation, without photon noise.
    """

    conditions: FrameConditions
    x: FloatArray
    y: FloatArray
    flux_e: FloatArray


@dataclass(frozen=True, eq=False)
class SimulatedFrame:
    """A raw frame with its name and header; calibration frames have no truth."""

    kind: FrameKind
    name: str
    raw: NDArray[np.uint16]
    header: tuple[Card, ...]
    truth: FrameTruth | None = None


def render_frame(
    x: FloatArray,
    y: FloatArray,
    flux_e: FloatArray,
    sky_e: FloatImage,
    psf: MoffatPsf,
    detector: Detector,
    exposure_s: float,
    rng: np.random.Generator,
) -> NDArray[np.uint16]:
    """Render a raw frame of stars on a sky.

    Parameters
    ----------
    x, y : ndarray of float64, shape (n,)
        Positions (0-based pixels).
    flux_e : ndarray of float64, shape (n,)
        Expected photoelectrons of each star.
    sky_e : ndarray of float32, shape (ny, nx)
        Expected photoelectrons of the sky per pixel.
    psf : MoffatPsf
        Profile of the stars.
    detector : Detector
        Maps of shape ``(ny, nx)``.
    exposure_s : float
        Exposure.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    ndarray of uint16, shape (ny, nx)
        ADU.
    """
    light = render_stars((sky_e.shape[0], sky_e.shape[1]), x, y, flux_e, psf)
    light += sky_e
    return read_out(light, detector, exposure_s, rng)


def sky_plane(shape: tuple[int, int], level_e: float, slope_x: float, slope_y: float) -> FloatImage:
    """Sky with a gradient.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)``.
    level_e : float
        Mean (e per pixel).
    slope_x, slope_y : float
        End of an axis minus its begin, over the mean.
    """
    x = np.linspace(-0.5, 0.5, shape[1])
    y = np.linspace(-0.5, 0.5, shape[0])
    return (level_e * (1.0 + slope_x * x[None, :] + slope_y * y[:, None])).astype(np.float32)


def simulate_frame(plan: NightPlan, index: int) -> SimulatedFrame:
    """Simulate the light ``index`` (from 0) of a night.

    Raises
    ------
    IndexError
        If the night has no such light.

    Examples
    --------
    >>> frame = simulate_frame(NightPlan.small(), 3)
    >>> frame.name, frame.raw.shape, frame.raw.dtype.name
    ('light_r_0004.fits', (256, 256), 'uint16')
    """
    if not 0 <= index < plan.n_light:
        raise IndexError(f"light {index} of a night of {plan.n_light} lights (counted from 0)")
    scene = build_scene(plan)
    rng = generator(plan.seed, Stream.LIGHT, index)
    truth = frame_truth(scene, index, rng)
    frame = truth.conditions
    sky_e = sky_plane(plan.shape, frame.sky_e, frame.sky_slope_x, frame.sky_slope_y)
    psf = frame.psf(plan.weather.moffat_beta)
    raw = render_frame(
        truth.x, truth.y, truth.flux_e, sky_e, psf, scene.detector, plan.exposure_s, rng
    )
    utc = ephemeris.utc_after_start(plan, index * plan.cadence_s)
    header = frame_cards(plan, FrameKind.LIGHT, utc, plan.exposure_s) + light_cards(plan, frame)
    return SimulatedFrame(FrameKind.LIGHT, frame.name, raw, header, truth)


def frame_truth(scene: Scene, index: int, rng: np.random.Generator) -> FrameTruth:
    """Positions and expected fluxes of all stars in the light ``index``.

    Parameters
    ----------
    scene : Scene
        The night.
    index : int
        Number of the light, from 0.
    rng : numpy.random.Generator
        Source of the scintillation.
    """
    frame = scene.frames[index]
    x, y = frame.transform(scene.plan.centre).apply(scene.stars.x, scene.stars.y)
    flux_e = scene.stars.flux_e * frame.throughput
    flux_e *= 1.0 + frame.scintillation * rng.standard_normal(flux_e.size)
    for signal, relative_flux in zip(scene.signals, scene.relative_flux, strict=True):
        flux_e[signal.star] *= relative_flux[index]
    return FrameTruth(frame, x, y, flux_e)


def simulate_bias(plan: NightPlan, index: int) -> SimulatedFrame:
    """Simulate a bias frame; ``index`` counts from 0."""
    return _without_light(plan, FrameKind.BIAS, Stream.BIAS, index, 0.0)


def simulate_dark(plan: NightPlan, index: int) -> SimulatedFrame:
    """Simulate a dark frame of the lights' exposure; ``index`` counts from 0."""
    return _without_light(plan, FrameKind.DARK, Stream.DARK, index, plan.exposure_s)


def simulate_flat(plan: NightPlan, index: int) -> SimulatedFrame:
    """Simulate a flat frame of the plan's kind of flats; ``index`` counts from 0."""
    rng = generator(plan.seed, Stream.FLAT, index)
    camera = plan.camera
    is_twilight = camera.flat_kind is FlatKind.TWILIGHT
    passed = index / max(plan.n_flat - 1, 1) if is_twilight else 0.0
    first, last = camera.flat_level_adu
    level_e = first * (last / first) ** passed * camera.gain_e_adu
    exposure_s = round(float(np.interp(passed, (0.0, 1.0), FLAT_EXPOSURE_S)), 1)
    light = sky_plane(plan.shape, level_e, 0.0, 0.0)
    if is_twilight:
        light += _stars_of_twilight(plan, exposure_s, rng)
    raw = read_out(light, build_scene(plan).detector, exposure_s, rng)
    utc = ephemeris.utc_after_start(plan, 60.0 * index - TWILIGHT_S)
    header = frame_cards(plan, FrameKind.FLAT, utc, exposure_s)
    name = file_name(FrameKind.FLAT, index, plan.field.filter)
    return SimulatedFrame(FrameKind.FLAT, name, raw, header)


def simulate(plan: NightPlan, kind: FrameKind, index: int) -> SimulatedFrame:
    """Simulate any frame of a night by its kind and its number (from 0)."""
    match kind:
        case FrameKind.LIGHT:
            return simulate_frame(plan, index)
        case FrameKind.FLAT:
            return simulate_flat(plan, index)
        case FrameKind.DARK:
            return simulate_dark(plan, index)
        case FrameKind.BIAS:
            return simulate_bias(plan, index)


def _without_light(
    plan: NightPlan, kind: FrameKind, stream: Stream, index: int, exposure_s: float
) -> SimulatedFrame:
    """Simulate a frame with a closed shutter: biases first, then the darks."""
    rng = generator(plan.seed, stream, index)
    light = np.zeros(plan.shape, dtype=np.float32)
    raw = read_out(light, build_scene(plan).detector, exposure_s, rng)
    position = index + (plan.n_bias if kind is FrameKind.DARK else 0)
    utc: Time = ephemeris.utc_after_start(plan, 120.0 * position - AFTERNOON_S)
    header = frame_cards(plan, kind, utc, exposure_s)
    return SimulatedFrame(kind, file_name(kind, index, plan.field.filter), raw, header)


def _stars_of_twilight(plan: NightPlan, exposure_s: float, rng: np.random.Generator) -> FloatImage:
    """Stars of some other field: between flats the telescope is moved."""
    n = round(FLAT_STARS * plan.n_stars)
    flux_e = plan.flux_e(0.0) * 10.0 ** (-0.4 * magnitudes(plan, n, rng))
    x, y = rng.uniform(0, plan.width, n), rng.uniform(0, plan.height, n)
    psf = MoffatPsf(float(np.mean(plan.weather.fwhm_pix)), plan.weather.moffat_beta)
    return render_stars(plan.shape, x, y, flux_e * exposure_s / plan.exposure_s, psf)
