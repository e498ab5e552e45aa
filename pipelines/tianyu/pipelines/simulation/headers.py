"""Headers of simulated frames: clean, and true to the frame."""

from typing import TypeAlias

from astropy.time import Time

from tianyu.pipelines.simulation import ephemeris
from tianyu.pipelines.simulation.conditions import FrameConditions
from tianyu.pipelines.simulation.plan import FrameKind, NightPlan
from tianyu.pipelines.simulation.wcs import TangentWcs, scene_wcs

Card: TypeAlias = tuple[str, str | int | float | bool, str]
"""Keyword, value and comment of one header line."""


def frame_cards(
    plan: NightPlan, kind: FrameKind, utc_start: Time, exposure_s: float
) -> tuple[Card, ...]:
    """Return the header lines that frames of every kind carry.

    Parameters
    ----------
    plan : NightPlan
        The night.
    kind : FrameKind
        Kind of the frame.
    utc_start : astropy.time.Time
        Start of the exposure, with the site's location.
    exposure_s : float
        Exposure.
    """
    site, camera = plan.site, plan.camera
    return (
        ("DATE-OBS", str(utc_start.utc.isot), "UTC at the start of the exposure"),
        ("TIMESYS", "UTC", "time scale"),
        ("EXPTIME", exposure_s, "[s] exposure"),
        ("IMAGETYP", kind.value, "kind of frame"),
        *(
            (("FILTER", plan.field.filter, "filter"),)
            if kind in (FrameKind.LIGHT, FrameKind.FLAT)
            else ()
        ),
        ("GAIN", camera.gain_e_adu, "[electron/adu] gain"),
        ("RDNOISE", camera.read_noise_e, "[electron] read-out noise"),
        ("SATURATE", camera.saturation_adu, "[adu] saturated at or above"),
        ("CCD-TEMP", camera.temperature_c, "[degC] detector temperature"),
        ("XBINNING", 1, "binning along x"),
        ("YBINNING", 1, "binning along y"),
        ("INSTRUME", camera.instrument, "camera"),
        ("TELESCOP", site.telescope, "telescope"),
        ("OBSERVAT", site.observatory, "observatory"),
        ("APTDIA", round(1000.0 * site.aperture_m, 3), "[mm] aperture of the telescope"),
        ("SITELAT", site.latitude_deg, "[deg] latitude, north positive"),
        ("SITELONG", site.longitude_deg, "[deg] longitude, east positive"),
        ("ALT-OBS", site.altitude_m, "[m] altitude"),
        ("LST-OBS", ephemeris.sidereal_time(utc_start), "local sidereal time at the start"),
    )


def light_cards(plan: NightPlan, frame: FrameConditions) -> tuple[Card, ...]:
    """Return the further header lines of a light: the object, its airmass, the WCS."""
    field = plan.field
    cards: tuple[Card, ...] = (
        ("OBJECT", field.name, "target"),
        ("RA", field.ra_deg, "[deg] pointing, ICRS"),
        ("DEC", field.dec_deg, "[deg] pointing, ICRS"),
        ("AIRMASS", round(frame.airmass, 4), "at mid-exposure"),
    )
    if not plan.with_wcs:
        return cards
    return cards + wcs_cards(scene_wcs(plan).seen_through(frame.transform(plan.centre)))


def wcs_cards(wcs: TangentWcs) -> tuple[Card, ...]:
    """Return the header lines of a celestial WCS."""
    return (
        ("WCSAXES", 2, ""),
        ("CTYPE1", "RA---TAN", "gnomonic projection"),
        ("CTYPE2", "DEC--TAN", "gnomonic projection"),
        ("CUNIT1", "deg", ""),
        ("CUNIT2", "deg", ""),
        ("CRVAL1", wcs.ra_deg, "[deg] RA of the reference pixel"),
        ("CRVAL2", wcs.dec_deg, "[deg] Dec of the reference pixel"),
        ("CRPIX1", wcs.x + 1.0, "reference pixel, from 1"),
        ("CRPIX2", wcs.y + 1.0, "reference pixel, from 1"),
        ("CD1_1", wcs.cd[0], ""),
        ("CD1_2", wcs.cd[1], ""),
        ("CD2_1", wcs.cd[2], ""),
        ("CD2_2", wcs.cd[3], ""),
        ("RADESYS", "ICRS", ""),
    )
