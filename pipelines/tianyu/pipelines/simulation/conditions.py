"""What each light of the night saw: pointing, seeing, sky and transparency."""

import math
from dataclasses import dataclass

import numpy as np

from tianyu.pipelines.science.arrays import FloatArray
from tianyu.pipelines.science.transform import AffineTransform
from tianyu.pipelines.simulation import ephemeris
from tianyu.pipelines.simulation.plan import FrameKind, NightPlan, Site
from tianyu.pipelines.simulation.psf import MoffatPsf
from tianyu.pipelines.simulation.streams import Stream, generator

SCALE_HEIGHT_M = 8000.0
"""Of the turbulent atmosphere, in Young's formula."""

TWILIGHT_E_FOLDING_S = 720.0
CLOUD_GLOW = 0.15
"""Sky that an opaque cloud would add, lit from below, in units of the dark sky."""


@dataclass(frozen=True)
class FrameConditions:
    """Truth about one light.

    Attributes
    ----------
    index : int
        0-based number of the light.
    name : str
        Its file's name.
    jd_utc_mid, bjd_tdb_mid : float
        Middle of the exposure; the second for the field's centre (days).
    dx, dy, rotation_deg, scale : float
        A star at (x, y) of the scene is rotated and scaled about the frame's centre, then moved
        by (dx, dy) pixels. Positive angles go from +x towards +y.
    fwhm_pix, elongation, angle_deg : float
        Of the stars, see `MoffatPsf`.
    sky_e : float
        Mean sky (e per pixel and exposure).
    sky_slope_x, sky_slope_y : float
        Sky at the end of an axis minus that at its begin, over the mean.
    airmass : float
    transparency : float
        Part of the light that haze and cloud let through.
    throughput : float
        Transparency times extinction relative to the zenith; a constant star of ``flux_e``
        gives ``flux_e * throughput`` electrons.
    scintillation : float
        Its relative standard deviation, independent from star to star.
    is_cloudy : bool
        Whether a cloud stands before the field.
    """

    index: int
    name: str
    jd_utc_mid: float
    bjd_tdb_mid: float
    dx: float
    dy: float
    rotation_deg: float
    fwhm_pix: float
    elongation: float
    angle_deg: float
    sky_e: float
    sky_slope_x: float
    sky_slope_y: float
    airmass: float
    transparency: float
    throughput: float
    scintillation: float
    is_cloudy: bool
    scale: float = 1.0

    def transform(self, centre: tuple[float, float]) -> AffineTransform:
        """Return the map from the scene's pixels to this frame's.

        Parameters
        ----------
        centre : tuple of float
            ``(x, y)`` of the frame's centre, about which the field rotates.
        """
        cosine = self.scale * math.cos(math.radians(self.rotation_deg))
        sine = self.scale * math.sin(math.radians(self.rotation_deg))
        x, y = centre
        return AffineTransform(
            a=cosine,
            b=-sine,
            c=sine,
            d=cosine,
            tx=x + self.dx - cosine * x + sine * y,
            ty=y + self.dy - sine * x - cosine * y,
        )

    def psf(self, beta: float) -> MoffatPsf:
        """Return the profile of this frame's stars."""
        return MoffatPsf(self.fwhm_pix, beta, self.elongation, self.angle_deg)


def file_name(kind: FrameKind, index: int, filter_name: str) -> str:
    """Name of a frame's file; ``index`` is 0-based, names count from 1.

    >>> file_name(FrameKind.LIGHT, 0, "r"), file_name(FrameKind.BIAS, 4, "r")
    ('light_r_0001.fits', 'bias_005.fits')
    """
    number = index + 1
    match kind:
        case FrameKind.LIGHT:
            return f"light_{filter_name}_{number:04d}.fits"
        case FrameKind.FLAT:
            return f"flat_{filter_name}_{number:03d}.fits"
        case _:
            return f"{kind.value.lower()}_{number:03d}.fits"


def scintillation_rms(
    site: Site, exposure_s: float, airmass: FloatArray, factor: float
) -> FloatArray:
    """Relative standard deviation of a star's flux by scintillation, times ``factor``.

    References
    ----------
    Young 1967, AJ 72, 747; the median ratio of measurements to it in Osborn et al. 2015,
    MNRAS 452, 1707.
    """
    young = 0.09 * (100.0 * site.aperture_m) ** (-2.0 / 3.0) / math.sqrt(2.0 * exposure_s)
    height = math.exp(-site.altitude_m / SCALE_HEIGHT_M)
    return np.asarray(factor * young * height * airmass**1.75, dtype=np.float64)


def smooth_curve(fraction: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return a smooth random curve over the night that spans 0 to 1.

    Parameters
    ----------
    fraction : ndarray of float64, shape (n,)
        Time, as a part of the night.
    rng : numpy.random.Generator
        Source of its two phases.
    """
    phase = rng.uniform(0.0, 2.0 * np.pi, 2)
    curve = np.sin(5.0 * fraction + phase[0]) + 0.5 * np.sin(12.0 * fraction + phase[1])
    span = np.ptp(curve) if curve.size else 0.0
    if span == 0.0:
        return np.full(fraction.shape, 0.5)
    return np.asarray((curve - curve.min()) / span, dtype=np.float64)


def cloud(plan: NightPlan) -> FloatArray:
    """Transparency of the passing cloud, shape ``(n_light,)``: one where there is none."""
    weather = plan.weather
    passing = np.sin(np.pi * np.arange(1, weather.n_cloudy + 1) / (weather.n_cloudy + 1)) ** 2
    transparency = np.ones(plan.n_light)
    first = round(weather.cloud_start_fraction * plan.n_light)
    covered = transparency[first : first + weather.n_cloudy]
    if covered.size:
        thickness = passing[: covered.size] / passing.max()
        covered -= (1.0 - weather.cloud_transparency) * thickness
    return transparency


def _sky(
    plan: NightPlan, fraction: FloatArray, cloud_transparency: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Level (e per pixel) and relative slopes along x and y, each of shape ``(n_light,)``."""
    weather = plan.weather
    twilight = weather.twilight_excess * np.exp(-fraction * plan.span_s / TWILIGHT_E_FOLDING_S)
    risen = max(1.0 - weather.moon_rise_fraction, 1e-6)
    moon = weather.moon_excess * np.clip((fraction - 1.0 + risen) / risen, 0.0, None)
    level = 1.0 + twilight + moon + CLOUD_GLOW * (1.0 - cloud_transparency)
    # Twilight stands in the west (+x on this detector), the moon rises in the east and south.
    slope_x = weather.sky_slope * (twilight - moon) / level
    slope_y = -0.5 * weather.sky_slope * moon / level
    return plan.dark_sky_e() * level, slope_x, slope_y


def _wander(
    plan: NightPlan, fraction: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Displacement along x and y (pixels): drift, periodic error and jitter."""
    tracking = plan.tracking
    worm_phase = 2.0 * np.pi * (fraction * plan.span_s / tracking.worm_period_s + rng.random())
    jitter = rng.normal(0.0, tracking.jitter_pix, (2, fraction.size))
    dx = tracking.drift_pix[0] * fraction + tracking.worm_amplitude_pix * np.sin(worm_phase)
    # Flexure makes the drift along y a curve.
    dy = tracking.drift_pix[1] * fraction**1.5
    return dx + jitter[0], dy + jitter[1]


def _rotation(plan: NightPlan, fraction: FloatArray) -> FloatArray:
    """Slow rotation of the field (degrees), and half a turn once the mount has crossed over."""
    flip = plan.tracking.flip_fraction
    half_turn = 0.0 if flip is None else 180.0 * (fraction > flip)
    return np.asarray(plan.tracking.rotation_deg * fraction + half_turn, dtype=np.float64)


def night_conditions(plan: NightPlan) -> tuple[FrameConditions, ...]:
    """Draw the conditions of all lights of a night, in order of time.

    Raises
    ------
    ValueError
        If the field stands too low at any time.
    """
    if plan.n_light == 0:
        return ()
    cloud_transparency = cloud(plan)
    columns = _columns(plan, cloud_transparency)
    return tuple(
        FrameConditions(
            index=i,
            name=file_name(FrameKind.LIGHT, i, plan.field.filter),
            is_cloudy=bool(cloud_transparency[i] < 1.0),
            **{name: float(column[i]) for name, column in columns.items()},
        )
        for i in range(plan.n_light)
    )


def _columns(plan: NightPlan, cloud_transparency: FloatArray) -> dict[str, FloatArray]:
    """Draw the numbers of `FrameConditions` by name, each of shape ``(n_light,)``."""
    rng = generator(plan.seed, Stream.WEATHER)
    weather = plan.weather
    utc = ephemeris.mid_exposures(plan)
    airmass = ephemeris.airmass(utc, plan)
    fraction = np.arange(plan.n_light) / max(plan.n_light - 1, 1)
    # A curve from 0 to 1 has a standard deviation of about 1/2.8.
    haze = 1.0 - 2.8 * weather.haze_rms * smooth_curve(fraction, rng)
    transparency = cloud_transparency * haze
    sky_e, slope_x, slope_y = _sky(plan, fraction, cloud_transparency)
    dx, dy = _wander(plan, fraction, rng)
    return {
        "jd_utc_mid": np.asarray(utc.jd, dtype=np.float64),
        "bjd_tdb_mid": ephemeris.bjd_tdb(utc, plan.field.ra_deg, plan.field.dec_deg),
        "dx": dx,
        "dy": dy,
        "rotation_deg": _rotation(plan, fraction),
        "scale": _between(plan.tracking.scale, fraction),
        "fwhm_pix": _between(weather.fwhm_pix, smooth_curve(fraction, rng)),
        "elongation": _between(weather.elongation, smooth_curve(fraction, rng)),
        "angle_deg": _between((0.0, 180.0), smooth_curve(fraction, rng)),
        "sky_e": sky_e,
        "sky_slope_x": slope_x,
        "sky_slope_y": slope_y,
        "airmass": airmass,
        "transparency": transparency,
        "throughput": transparency * 10.0 ** (-0.4 * weather.extinction_mag * (airmass - 1.0)),
        "scintillation": scintillation_rms(
            plan.site, plan.exposure_s, airmass, weather.scintillation_factor
        ),
    }


def _between(limits: tuple[float, float], part: FloatArray) -> FloatArray:
    """Interpolate between two limits; ``part`` runs from 0 to 1."""
    return limits[0] + (limits[1] - limits[0]) * part
