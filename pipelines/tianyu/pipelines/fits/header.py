"""The header of a frame, read and interpreted: what it says, and in words what was assumed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from pathlib import Path

from tianyu.pipelines.fits.camera import (
    adu_ceiling,
    read_binning,
    read_detector,
    read_exposure,
    read_filter,
    read_gain_setting,
)
from tianyu.pipelines.fits.cards import Cards
from tianyu.pipelines.fits.errors import HeaderError
from tianyu.pipelines.fits.hdus import choose_image, merged_cards, scan_hdus
from tianyu.pipelines.fits.kinds import FlatKind, FrameKind, read_kind
from tianyu.pipelines.fits.optics import read_aperture, read_pixel_scale, read_wcs
from tianyu.pipelines.fits.pointing import read_pointing
from tianyu.pipelines.fits.sections import Section, read_sections
from tianyu.pipelines.fits.site import read_site
from tianyu.pipelines.fits.stated import read_stated
from tianyu.pipelines.fits.streams import open_fits
from tianyu.pipelines.fits.times import read_start_time


@dataclass(frozen=True)
class FrameHeader:
    """What is known of a frame before its pixels are read; ``None`` is not known."""

    kind: FrameKind
    flat_kind: FlatKind | None
    """Of flats only, where anything says so."""
    exposure_s: float
    filter_name: str | None
    """Spelled as in the header; always ``None`` for biases and darks, which see no light."""
    utc_start: datetime | None
    """Start of the exposure, naive UTC."""
    utc_precision_s: float | None
    """One unit of the last digit of the card that gave ``utc_start``."""
    object_name: str | None
    ra_deg: float | None
    """Pointing, ICRS."""
    dec_deg: float | None
    latitude_deg: float | None
    longitude_deg: float | None
    """East positive, in (−180, 180]."""
    altitude_m: float | None
    gain_e_per_adu: float | None
    read_noise_e: float | None
    saturation_adu: float | None
    """As stated; see also ``ceiling_adu``."""
    ceiling_adu: float | None
    """Largest count of the pixels' integer type. Cameras of 12 bits stop at 4095 below it."""
    pixel_scale_arcsec: float | None
    aperture_diameter_m: float | None
    width: int
    height: int
    binning_x: int
    binning_y: int
    instrument_name: str | None
    telescope_name: str | None
    ccd_temperature_c: float | None
    wcs_cards: dict[str, float | str] | None
    """Celestial WCS cards, where there is a plausible set."""
    stated: dict[str, float]
    """What the header computed itself of time, airmass and moon; see `read_stated`."""
    notes: tuple[str, ...]
    """In words, what was assumed and what contradicts itself."""
    gain_setting: float | None = None
    """The camera's own number, where ``GAIN`` is that and not e/ADU."""
    data_section: Section | None = None
    """Part of the file's image that sees light, where that is not all: what ``width``,
    ``height`` and every pixel position count from."""
    overscan_section: Section | None = None
    """Of the file's image."""


def interpret_header(
    cards: Mapping[str, object],
    *,
    name: str,
    shape: tuple[int, int],
    comments: Mapping[str, str] | None = None,
) -> FrameHeader:
    """Make sense of header cards.

    Parameters
    ----------
    cards : mapping of str to object
        Values by keyword, any case.
    name : str
        Name of the file: for errors, and for the kind of a frame that does not say it.
    shape : tuple of int
        ``(height, width)`` of the image.
    comments : mapping of str to str, optional
        Comments by keyword; units and directions are sometimes said only there.

    Returns
    -------
    FrameHeader
        Everything that could be read, with notes on what was assumed.

    Raises
    ------
    HeaderError
        If the frame cannot be used: no image, a kind that is none of the four, or no
        plausible exposure on a dark or light.

    Examples
    --------
    >>> header = interpret_header(
    ...     {"IMAGETYP": "Light Frame", "EXPTIME": 30.0, "DATE-OBS": "2025-05-30T03:44:00.190"},
    ...     name="m13_001.fits",
    ...     shape=(1024, 1024),
    ... )
    >>> header.kind, header.exposure_s, header.utc_start.isoformat()
    (<FrameKind.LIGHT: 'light'>, 30.0, '2025-05-30T03:44:00.190000')
    """
    shape = _checked_shape(shape, name)
    known = Cards.of(cards, comments)
    readout = read_sections(known, shape)
    x1, x2, y1, y2 = readout.data or (0, shape[1], 0, shape[0])
    kind = read_kind(known, name)
    exposure_s, exposure_notes = read_exposure(known, kind.kind, name)
    start = read_start_time(known, exposure_s)
    pointing = read_pointing(known)
    site = read_site(known, start.utc, pointing.ra_deg)
    ceiling = adu_ceiling(known)
    detector = read_detector(known, ceiling)
    wcs = read_wcs(known, pointing.ra_deg, pointing.dec_deg)
    scale, scale_notes = read_pixel_scale(known, wcs.scale_arcsec)
    binning_x, binning_y = read_binning(known)
    sees_light = kind.kind in {FrameKind.FLAT, FrameKind.LIGHT}
    return FrameHeader(
        kind=kind.kind,
        flat_kind=kind.flat_kind,
        exposure_s=exposure_s,
        filter_name=read_filter(known) if sees_light else None,
        utc_start=start.utc,
        utc_precision_s=start.precision_s,
        object_name=known.text("OBJECT"),
        ra_deg=pointing.ra_deg,
        dec_deg=pointing.dec_deg,
        latitude_deg=site.latitude_deg,
        longitude_deg=site.longitude_deg,
        altitude_m=site.altitude_m,
        gain_e_per_adu=detector.gain_e_per_adu,
        read_noise_e=detector.read_noise_e,
        saturation_adu=detector.saturation_adu,
        ceiling_adu=ceiling,
        pixel_scale_arcsec=scale,
        aperture_diameter_m=read_aperture(known),
        width=x2 - x1,
        height=y2 - y1,
        binning_x=binning_x,
        binning_y=binning_y,
        instrument_name=known.first_text(("INSTRUME", "DETECTOR", "CAMERA")),
        telescope_name=known.text("TELESCOP"),
        ccd_temperature_c=detector.temperature_c,
        wcs_cards=_moved(wcs.cards, x1, y1),
        stated=read_stated(known),
        notes=(
            *kind.notes,
            *exposure_notes,
            *start.notes,
            *pointing.notes,
            *site.notes,
            *detector.notes,
            *wcs.notes,
            *scale_notes,
            *readout.notes,
        ),
        gain_setting=read_gain_setting(known),
        data_section=readout.data,
        overscan_section=readout.overscan,
    )


def _moved(cards: dict[str, float | str] | None, x0: int, y0: int) -> dict[str, float | str] | None:
    """Let a WCS count pixels from the first that sees light."""
    if cards is None or not (x0 or y0):
        return cards
    moved = dict(cards)
    for keyword, origin in (("CRPIX1", x0), ("CRPIX2", y0)):
        moved[keyword] = float(moved[keyword]) - origin
    return moved


def _checked_shape(shape: tuple[int, int], name: str) -> tuple[int, int]:
    if len(shape) != 2 or min(shape) < 1:
        raise HeaderError(f"{name}: an image of shape {shape}; two axes of at least 1 are needed")
    return shape


def read_header(path: str | PathLike[str], *, extension: int | str | None = None) -> FrameHeader:
    """Read and interpret the header of a file's image; no pixel is read.

    Parameters
    ----------
    path : path-like
        Any file that :func:`tianyu.pipelines.fits.pixels.read_pixels` takes.
    extension : int or str, optional
        Number or ``EXTNAME`` of the image, where a file holds several.

    Returns
    -------
    FrameHeader
        Cards of the primary header are overridden by those of the image's own.

    Raises
    ------
    HeaderError
        If the frame cannot be used, see :func:`interpret_header`.
    FitsError
        If the file is not FITS, is truncated, or holds no image that can be chosen.
    MissingInputError
        If there is no file.
    """
    with open_fits(path) as stream:
        hdus = scan_hdus(stream)
    image = choose_image(hdus, name=stream.name, extension=extension)
    cards = merged_cards(hdus[0], image)
    return interpret_header(
        cards.values, name=Path(path).name, shape=image.image_shape, comments=cards.comments
    )
