"""What a simulated night is to look like: every number that the simulation uses."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class FrameKind(StrEnum):
    """Kinds of frames; the value is the header's ``IMAGETYP``."""

    BIAS = "BIAS"
    DARK = "DARK"
    FLAT = "FLAT"
    LIGHT = "LIGHT"


class FlatKind(StrEnum):
    """Where the flats' light comes from."""

    TWILIGHT = "twilight"
    """The level falls from frame to frame and stars shine through."""
    DOME = "dome"
    """One level, no stars."""


@dataclass(frozen=True)
class Site:
    """Place and telescope."""

    latitude_deg: float = 31.96
    longitude_deg: float = -111.6
    """East is positive."""
    altitude_m: float = 2096.0
    aperture_m: float = 0.5
    observatory: str = "Simulated Observatory"
    telescope: str = "Simulated 0.5 m"


@dataclass(frozen=True)
class Camera:
    """A cooled CCD with the usual defects."""

    instrument: str = "Simulated CCD"
    temperature_c: float = -20.0
    gain_e_adu: float = 1.5
    read_noise_e: float = 8.0
    saturation_adu: int = 60000
    """The header's ``SATURATE``; the full well holds this times the gain, so that with the
    bias on top every full pixel reads above it."""
    bias_level_adu: float = 1000.0
    bias_row_gradient_adu: float = 12.0
    """Difference of the bias level between the first and the last row."""
    bias_column_rms_adu: float = 1.5
    dark_current_e_s: float = 0.05
    hot_fraction: float = 5e-4
    """Pixels with 10 to 400 e/s."""
    warm_fraction: float = 3e-3
    """Pixels with 0.3 to 5 e/s."""
    dead_fraction: float = 2e-4
    """Pixels with a tenth of the sensitivity or less."""
    pixel_response_rms: float = 0.01
    vignetting: float = 0.12
    """Light lost at the corners."""
    n_dust_rings: int = 5
    cosmic_rays_per_megapixel_minute: float = 3.0
    flat_kind: FlatKind = FlatKind.TWILIGHT
    flat_level_adu: tuple[float, float] = (32000.0, 14000.0)
    """Level above bias of the first and the last twilight flat; dome flats have the first."""

    @property
    def full_well_e(self) -> float:
        """Charge at which a pixel is full (e)."""
        return self.saturation_adu * self.gain_e_adu


@dataclass(frozen=True)
class Field:
    """The part of the sky that is observed, and how it falls on the detector."""

    name: str = "TY-SIM-1"
    ra_deg: float = 150.1
    dec_deg: float = 25.2
    filter: str = "r"
    pixel_scale_arcsec: float = 0.6
    position_angle_deg: float = 1.2
    """Angle of north from +y towards east (towards −x)."""
    zero_point_mag: float = 22.3
    """Magnitude of a star that gives 1 e/s at the zenith."""
    bright_mag: float = 10.6
    """The few brightest stars fill the well."""
    faint_mag: float = 19.0
    """Peaks of the faintest stars are a few times the sky noise."""
    count_slope: float = 0.25
    """log₁₀ of the number of stars per magnitude rises by this per magnitude."""
    reach_pix: float | None = None
    """Stars are drawn this far beyond the frame; None: as far as the drift asks. The same reach
    gives nights of different drifts the same stars."""


@dataclass(frozen=True)
class Weather:
    """Seeing, sky and transparency over the night."""

    fwhm_pix: tuple[float, float] = (2.2, 3.8)
    moffat_beta: float = 3.0
    elongation: tuple[float, float] = (1.02, 1.10)
    dark_sky_mag_arcsec2: float = 19.9
    twilight_excess: float = 1.5
    """Twilight at the first frame, in units of the dark sky; it fades within half an hour."""
    moon_rise_fraction: float = 0.6
    """Part of the night after which the moon brightens the sky."""
    moon_excess: float = 0.8
    """Moonlight at the end of the night, in units of the dark sky."""
    sky_slope: float = 0.06
    """Relative change of twilight and moonlight from one side of the frame to the other."""
    extinction_mag: float = 0.12
    """Per unit of airmass."""
    haze_rms: float = 0.005
    """Slow, smooth changes of the transparency."""
    n_cloudy: int = 5
    """Consecutive frames under a passing cloud."""
    cloud_start_fraction: float = 0.8
    cloud_transparency: float = 0.35
    """Transparency in the thickest part of the cloud."""
    scintillation_factor: float = 1.5
    """Median ratio of measured scintillation to Young's formula (Osborn et al. 2015)."""


@dataclass(frozen=True)
class Tracking:
    """How the field wanders over the detector."""

    drift_pix: tuple[float, float] = (18.0, -11.0)
    """Displacement in x and y from the first frame to the last."""
    worm_amplitude_pix: float = 0.8
    """Periodic error of the right-ascension drive, along x."""
    worm_period_s: float = 480.0
    jitter_pix: float = 0.15
    rotation_deg: float = 0.05
    """Rotation about the frame's centre from the first frame to the last."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Scale about the frame's centre in the first and in the last frame: focus and temperature."""
    flip_fraction: float | None = None
    """Part of the night after which a German mount has crossed the meridian, and the field is
    turned by 180°; None: never."""


@dataclass(frozen=True)
class TransitPlan:
    """One more star with a transit."""

    mag: float
    depth: float
    duration_h: float = 1.3
    ingress_fraction: float = 0.15
    mid_fraction: float = 0.5
    """Mid-transit, as a part of the night."""


@dataclass(frozen=True)
class SignalPlan:
    """The stars of the field that vary; a depth or amplitude of 0 leaves one constant."""

    transit_mag: float = 13.2
    transit_depth: float = 0.015
    transit_duration_h: float = 1.3
    transit_ingress_fraction: float = 0.15
    transit_mid_fraction: float = 0.45
    """Mid-transit, as a part of the night."""
    pulsation_mag: float = 13.9
    pulsation_amplitude_mag: float = 0.07
    """Half of the range from maximum to minimum."""
    pulsation_period_h: float = 1.5
    eclipse_mag: float = 14.4
    eclipse_depth: float = 0.30
    eclipse_duration_h: float = 1.1
    eclipse_mid_fraction: float = 0.35
    more_transits: tuple[TransitPlan, ...] = ()


@dataclass(frozen=True)
class NightPlan:
    """One night: calibration frames and a series of one field.

    The same plan always gives the same night, bit for bit.

    Attributes
    ----------
    seed : int
        Everything random follows from it.
    n_light, n_bias, n_dark, n_flat : int
        Numbers of frames.
    width, height : int
        Size of a frame (pixels).
    exposure_s, cadence_s : float
        Exposure of lights and darks; time between the starts of two lights.
    start_utc : str
        Start of the first light, ISO 8601, UTC.
    n_stars : int
        Stars within the area of a frame.
    with_wcs : bool
        Whether the headers of the lights carry a celestial WCS.

    Raises
    ------
    ValueError
        If a number or a combination is impossible; the message says which.

    Examples
    --------
    >>> NightPlan().n_light, NightPlan.small().width
    (72, 256)
    """

    seed: int = 20250317
    n_light: int = 72
    n_bias: int = 7
    n_dark: int = 5
    n_flat: int = 7
    width: int = 1024
    height: int = 1024
    exposure_s: float = 60.0
    cadence_s: float = 140.0
    start_utc: str = "2025-03-17T02:50:00.000"
    n_stars: int = 500
    with_wcs: bool = True
    site: Site = Site()
    camera: Camera = Camera()
    field: Field = Field()
    weather: Weather = Weather()
    tracking: Tracking = Tracking()
    signals: SignalPlan = SignalPlan()

    def __post_init__(self) -> None:
        """Refuse what cannot be simulated."""
        if min(self.n_light, self.n_bias, self.n_dark, self.n_flat) < 0:
            raise ValueError("numbers of frames must not be negative")
        if min(self.width, self.height) < 64:
            raise ValueError(
                f"a frame of {self.width}×{self.height} px is too small; 64×64 is the least"
            )
        if not 0.0 < self.exposure_s <= self.cadence_s:
            raise ValueError(
                f"the exposure of {self.exposure_s} s must be positive and must not exceed "
                f"the cadence of {self.cadence_s} s"
            )
        if self.n_stars < 3:
            raise ValueError(f"{self.n_stars} stars are too few: three of them carry the signals")
        if min(self.tracking.scale) <= 0.0:
            raise ValueError(f"the scales {self.tracking.scale} must be positive")
        if not 1.0 < self.weather.moffat_beta <= 6.0:
            raise ValueError(
                f"a Moffat profile with beta {self.weather.moffat_beta} has no finite flux "
                "(or is no seeing profile): give 1 < beta <= 6"
            )

    @classmethod
    def small(cls, *, seed: int = 1, n_light: int = 12) -> Self:
        """Return a night of 256² px for tests; all of it takes less than a second."""
        return cls(
            seed=seed,
            n_light=n_light,
            n_bias=5,
            n_dark=3,
            n_flat=5,
            width=256,
            height=256,
            cadence_s=600.0,
            n_stars=60,
            weather=Weather(n_cloudy=2),
            tracking=Tracking(drift_pix=(6.0, -4.0)),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of a frame's array, ``(height, width)``."""
        return self.height, self.width

    @property
    def centre(self) -> tuple[float, float]:
        """Pixel coordinates ``(x, y)`` of the frame's centre."""
        return (self.width - 1) / 2.0, (self.height - 1) / 2.0

    @property
    def span_s(self) -> float:
        """Time from the first light's middle to the last light's (s)."""
        return max(self.n_light - 1, 1) * self.cadence_s

    def flux_e(self, mag: float) -> float:
        """Electrons in one exposure of a star of this magnitude, at the zenith, no cloud."""
        return float(self.exposure_s * 10.0 ** (-0.4 * (mag - self.field.zero_point_mag)))

    def dark_sky_e(self) -> float:
        """Electrons per pixel and exposure of the sky without moon and twilight."""
        per_arcsec2 = self.flux_e(self.weather.dark_sky_mag_arcsec2)
        return per_arcsec2 * math.pow(self.field.pixel_scale_arcsec, 2)
