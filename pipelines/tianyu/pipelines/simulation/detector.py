"""The detector: maps of its bias, dark current and response, and how it reads out light."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tianyu.pipelines.science.arrays import BoolArray, FloatImage
from tianyu.pipelines.simulation.cosmic_rays import cosmic_rays
from tianyu.pipelines.simulation.plan import Camera
from tianyu.pipelines.simulation.streams import Stream, generator, log_uniform

HOT_E_S = (10.0, 400.0)
WARM_E_S = (0.3, 5.0)
"""Ranges of the dark current of hot and warm pixels, log-uniform: few are very hot."""

DEAD_RESPONSE = (0.0, 0.1)
DUST_DEPTH = (0.01, 0.04)
DUST_RADIUS_PIX = (14.0, 30.0)
LARGEST_ADU = 65535


@dataclass(frozen=True, eq=False)
class Detector:
    """Maps of one camera, each of shape ``(ny, nx)``; the arrays are read-only.

    Attributes
    ----------
    camera : Camera
        Gain, noise, full well.
    bias_adu : ndarray of float32
        Level without light and dark current.
    dark_e_s : ndarray of float32
        Dark current per pixel.
    response : ndarray of float32
        Electrons per photoelectron of a mean pixel: vignetting, dust, pixel-to-pixel, dead.
    is_hot, is_warm, is_dead : ndarray of bool
        Truth about the defects.
    """

    camera: Camera
    bias_adu: FloatImage
    dark_e_s: FloatImage
    response: FloatImage
    is_hot: BoolArray
    is_warm: BoolArray
    is_dead: BoolArray

    def __post_init__(self) -> None:
        """Lock the maps: one detector serves many frames."""
        for array in (
            self.bias_adu, self.dark_e_s, self.response, self.is_hot, self.is_warm, self.is_dead,
        ):  # fmt: skip
            array.setflags(write=False)


def make_detector(camera: Camera, shape: tuple[int, int], seed: int) -> Detector:
    """Draw the maps of a camera.

    Parameters
    ----------
    camera : Camera
        What its defects are like.
    shape : tuple of int
        ``(ny, nx)``.
    seed : int
        The same seed gives the same detector.
    """
    rng = generator(seed, Stream.DETECTOR)
    kind = rng.random(shape)
    limits = np.cumsum([camera.hot_fraction, camera.warm_fraction, camera.dead_fraction])
    is_hot = kind < limits[0]
    is_warm = (kind >= limits[0]) & (kind < limits[1])
    is_dead = (kind >= limits[1]) & (kind < limits[2])
    return Detector(
        camera,
        _bias(camera, shape, rng),
        _dark_current(camera, is_hot, is_warm, rng),
        _response(camera, is_dead, rng),
        is_hot,
        is_warm,
        is_dead,
    )


def _bias(camera: Camera, shape: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    """Level, gradient along the rows' order and an offset of each column (ADU)."""
    rows = camera.bias_row_gradient_adu * np.linspace(-0.5, 0.5, shape[0])
    columns = rng.normal(0.0, camera.bias_column_rms_adu, shape[1])
    return (camera.bias_level_adu + rows[:, None] + columns[None, :]).astype(np.float32)


def _dark_current(
    camera: Camera, is_hot: BoolArray, is_warm: BoolArray, rng: np.random.Generator
) -> FloatImage:
    """Dark current (e/s)."""
    dark = np.full(is_hot.shape, camera.dark_current_e_s, dtype=np.float32)
    for pixels, limits in ((is_hot, HOT_E_S), (is_warm, WARM_E_S)):
        dark[pixels] = log_uniform(limits, int(pixels.sum()), rng)
    return dark


def _response(camera: Camera, is_dead: BoolArray, rng: np.random.Generator) -> FloatImage:
    """Relative sensitivity; its mean of one keeps the scale of fluxes after flat-fielding."""
    ny, nx = is_dead.shape
    y, x = np.ogrid[-1.0 : 1.0 : ny * 1j, -1.0 : 1.0 : nx * 1j]
    smooth = 1.0 - camera.vignetting * 0.5 * (x * x + y * y)
    for _ in range(camera.n_dust_rings):
        smooth *= _dust_ring((ny, nx), rng)
    response = smooth * rng.normal(1.0, camera.pixel_response_rms, (ny, nx))
    response /= response.mean()
    response[is_dead] *= rng.uniform(*DEAD_RESPONSE, size=int(is_dead.sum()))
    return np.asarray(response, dtype=np.float32)


def _dust_ring(shape: tuple[int, int], rng: np.random.Generator) -> FloatImage:
    """Transmission of a grain far before the focus: the shadow of the pupil, hole and all."""
    ny, nx = shape
    centre_y, centre_x = rng.uniform(0, ny), rng.uniform(0, nx)
    outer, depth = rng.uniform(*DUST_RADIUS_PIX), rng.uniform(*DUST_DEPTH)
    y, x = np.ogrid[:ny, :nx]
    radius = np.hypot(x - centre_x, y - centre_y)
    # Edges two pixels wide; the secondary mirror leaves the inner 40 % in light.
    inside_outer = np.clip((outer - radius) / 2.0, 0.0, 1.0)
    inside_inner = np.clip((0.4 * outer - radius) / 2.0, 0.0, 1.0)
    return (1.0 - depth * (inside_outer - inside_inner)).astype(np.float32)


def read_out(
    light_e: FloatImage, detector: Detector, exposure_s: float, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Turn expected light into a raw frame.

    Parameters
    ----------
    light_e : ndarray of float32, shape (ny, nx)
        Photoelectrons that a pixel of mean response is expected to collect.
    detector : Detector
        The camera.
    exposure_s : float
        Time over which dark current and cosmic rays gather; 0 for a bias.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    ndarray of uint16, shape (ny, nx)
        ADU. Charge stops at the full well; there is no blooming.
    """
    camera = detector.camera
    expected = light_e * detector.response
    expected += detector.dark_e_s * np.float32(exposure_s)
    charge = rng.poisson(expected).astype(np.float32)
    charge += cosmic_rays(expected.shape, exposure_s, camera.cosmic_rays_per_megapixel_minute, rng)
    np.minimum(charge, np.float32(camera.full_well_e), out=charge)
    noise = rng.standard_normal(expected.shape, dtype=np.float32)
    charge += noise * np.float32(camera.read_noise_e)
    charge /= np.float32(camera.gain_e_adu)
    charge += detector.bias_adu
    return np.clip(np.rint(charge), 0, LARGEST_ADU).astype(np.uint16)
