"""Frames like those of a survey telescope: 2048 × 2048 pixels, about 1200 stars, quick to write.

The stars are drawn once for each of a dozen seeings and sub-pixel phases, on a canvas with room
for the drift; a frame is a cut from one of them, dimmed, on a sky, through a detector, with the
noise of photons and read-out. Where each frame stands is kept in ``truth.json``.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.time import Time
from tests.benchmarks.metering import in_fresh_process

from tianyu.pipelines.science.arrays import FloatArray, FloatImage
from tianyu.pipelines.simulation import Detector, MoffatPsf, make_detector, render_stars
from tianyu.pipelines.simulation.ephemeris import offline, utc_after_start
from tianyu.pipelines.simulation.headers import frame_cards, wcs_cards
from tianyu.pipelines.simulation.plan import FrameKind, NightPlan, Weather
from tianyu.pipelines.simulation.wcs import scene_wcs

CACHE = Path(__file__).resolve().parents[2] / "build" / "bench"
MARGIN_PIX = 32
"""Canvas around the frame: the drift stays below it."""
VARIANTS = 12
VARIANT_PIXELS = 60e6
"""Together the drawn stars have so many pixels at most: they are kept in memory."""
N_BIAS, N_DARK, N_FLAT = 5, 3, 5
CLOUDY_FRACTION = 0.02
BRIGHT_MAG, FAINT_MAG, COUNT_SLOPE = 10.8, 20.5, 0.15
"""Some 900 of 1200 stars stand out on a stack of a hundred frames, by reckoning from stacks of 16.
The slope is of log₁₀ of the number of stars."""


@dataclass(frozen=True)
class BenchmarkNight:
    """What frames to make.

    Attributes
    ----------
    n_light : int
    width, height : int
        Pixels.
    n_stars : int
        On one frame.
    night : int
        0-based; another one has other frames of the same stars through the same detector.
    """

    n_light: int
    width: int = 2048
    height: int = 2048
    n_stars: int = 1200
    night: int = 0

    @property
    def folder(self) -> Path:
        """Where the frames are kept, below the build folder."""
        name = f"{self.width}x{self.height}-{self.n_stars}-night{self.night}-{self.n_light}"
        return CACHE / "frames" / name

    @property
    def plan(self) -> NightPlan:
        """Camera, site and clock of the night."""
        return NightPlan(
            seed=7,
            n_light=self.n_light,
            width=self.width,
            height=self.height,
            exposure_s=20.0,
            cadence_s=25.0,
            start_utc=f"2025-03-{17 + self.night}T02:50:00.000",
            weather=replace(Weather(), fwhm_pix=(2.4, 3.4)),
        )


@dataclass(frozen=True)
class FrameTruth:
    """Where the stars of a frame stand against the canvas, pixels, and how much light came."""

    name: str
    dx: float
    dy: float
    transparency: float


def benchmark_frames(night: BenchmarkNight) -> Path:
    """Return the folder of the frames; made at first need, kept for later runs."""
    if not (night.folder / "truth.json").is_file():
        in_fresh_process(_write, night)
    return night.folder


def light_paths(folder: Path) -> list[Path]:
    """Return the light frames of a folder in the order of time."""
    return sorted(folder.glob("light_*.fits"))


def read_truth(folder: Path) -> list[FrameTruth]:
    """Return where the frames of a folder stand, in the order of time."""
    return [FrameTruth(**row) for row in json.loads((folder / "truth.json").read_text())]


def _write(night: BenchmarkNight) -> None:
    with offline():
        _write_frames(night)


def _write_frames(night: BenchmarkNight) -> None:
    night.folder.mkdir(parents=True, exist_ok=True)
    plan = night.plan
    detector = make_detector(plan.camera, plan.shape, plan.seed)
    rng = np.random.default_rng([plan.seed, night.night])
    _write_calibration(night, detector, rng)
    canvases = _canvases(night)
    truth = [_write_light(night, i, detector, canvases, rng) for i in range(night.n_light)]
    # Written last: it tells that everything else is there.
    (night.folder / "truth.json").write_text(json.dumps([asdict(row) for row in truth]))


def _read_out(
    light_e: FloatImage, exposure_s: float, detector: Detector, rng: np.random.Generator
) -> FloatImage:
    """Turn light on the detector (electrons) into counts with noise."""
    camera = detector.camera
    charge = light_e * detector.response
    charge += detector.dark_e_s * np.float32(exposure_s)
    # A normal deviate for Poisson's: four times quicker, and the sky has hundreds of electrons.
    noise = np.sqrt(charge + np.float32(camera.read_noise_e**2))
    noise *= rng.standard_normal(charge.shape, dtype=np.float32)
    charge += noise
    charge *= np.float32(1.0 / camera.gain_e_adu)
    charge += detector.bias_adu
    return np.clip(np.rint(charge, out=charge), 0, 65535, out=charge)


def _canvases(night: BenchmarkNight) -> list[tuple[FloatImage, float, float]]:
    """Draw the stars at several seeings and phases: electrons, and the phases in x and y."""
    plan, rng = night.plan, np.random.default_rng([night.plan.seed, 2000])
    shape = night.height + 2 * MARGIN_PIX, night.width + 2 * MARGIN_PIX
    n = round(night.n_stars * shape[0] * shape[1] / (night.height * night.width))
    x, y = rng.uniform(0, shape[1], n), rng.uniform(0, shape[0], n)
    flux_e = _fluxes(plan, rng.random(n))
    canvases = []
    for _ in range(max(2, min(VARIANTS, round(VARIANT_PIXELS / (shape[0] * shape[1]))))):
        phase_x, phase_y = rng.uniform(-0.5, 0.5, 2)
        psf = MoffatPsf(
            fwhm_pix=float(rng.uniform(*plan.weather.fwhm_pix)),
            elongation=float(rng.uniform(*plan.weather.elongation)),
            angle_deg=float(rng.uniform(0.0, 180.0)),
        )
        image = render_stars(shape, x + phase_x, y + phase_y, flux_e, psf)
        canvases.append((image, float(phase_x), float(phase_y)))
    return canvases


def _fluxes(plan: NightPlan, fraction: FloatArray) -> FloatArray:
    """Electrons of stars whose number rises exponentially with magnitude."""
    low, high = (10.0 ** (COUNT_SLOPE * mag) for mag in (BRIGHT_MAG, FAINT_MAG))
    mag = np.log10(low + fraction * (high - low)) / COUNT_SLOPE
    return np.array([plan.flux_e(float(m)) for m in mag])


def _write_light(
    night: BenchmarkNight,
    index: int,
    detector: Detector,
    canvases: list[tuple[FloatImage, float, float]],
    rng: np.random.Generator,
) -> FrameTruth:
    plan = night.plan
    part = index / max(night.n_light - 1, 1)
    left, low = np.rint([9.0 * part + rng.normal(0, 1), -6.0 * part + rng.normal(0, 1)])
    stars, phase_x, phase_y = canvases[int(rng.integers(len(canvases)))]
    cut = stars[
        MARGIN_PIX - int(low) : MARGIN_PIX - int(low) + night.height,
        MARGIN_PIX - int(left) : MARGIN_PIX - int(left) + night.width,
    ]
    transparency = 1.0 - 0.03 * part + 0.005 * rng.normal()
    if rng.random() < CLOUDY_FRACTION:
        transparency *= 0.35
    sky_e = plan.dark_sky_e() * (1.0 + 0.5 * part)
    gradient = np.linspace(0.97, 1.03, night.width, dtype=np.float32) * np.float32(sky_e)
    light = cut * np.float32(transparency) + gradient[None, :]
    pixels = _read_out(light, plan.exposure_s, detector, rng)
    dx, dy = float(left + phase_x), float(low + phase_y)
    name = f"light_{index:04d}.fits"
    start = utc_after_start(plan, index * plan.cadence_s)
    wcs = scene_wcs(plan)
    cards = [
        ("OBJECT", plan.field.name, "target"),
        ("RA", plan.field.ra_deg, "[deg] pointing, ICRS"),
        ("DEC", plan.field.dec_deg, "[deg] pointing, ICRS"),
        *wcs_cards(replace(wcs, x=wcs.x + dx, y=wcs.y + dy)),
    ]
    _write_fits(night, name, pixels, FrameKind.LIGHT, start, plan.exposure_s, cards)
    return FrameTruth(name, dx, dy, transparency)


def _write_calibration(night: BenchmarkNight, detector: Detector, rng: np.random.Generator) -> None:
    plan = night.plan
    seconds = -3 * 3600.0
    flat_levels = np.linspace(30000.0, 15000.0, N_FLAT) * plan.camera.gain_e_adu
    series = (
        (FrameKind.BIAS, 0.0, np.zeros(N_BIAS)),
        (FrameKind.DARK, plan.exposure_s, np.zeros(N_DARK)),
        (FrameKind.FLAT, 5.0, flat_levels),
    )
    for kind, exposure_s, levels in series:
        for i, level in enumerate(levels):
            light = np.full(plan.shape, level, np.float32)
            pixels = _read_out(light, exposure_s, detector, rng)
            name = f"{kind.value.lower()}_{i:04d}.fits"
            seconds += 30.0
            start = utc_after_start(plan, seconds)
            _write_fits(night, name, pixels, kind, start, exposure_s, [])


def _write_fits(
    night: BenchmarkNight,
    name: str,
    pixels: FloatImage,
    kind: FrameKind,
    start: Time,
    exposure_s: float,
    cards: list[tuple[str, str | int | float | bool, str]],
) -> None:
    hdu = fits.PrimaryHDU(pixels.astype(np.uint16))
    hdu.header.extend([*frame_cards(night.plan, kind, start, exposure_s), *cards])
    hdu.writeto(night.folder / name, overwrite=True)
