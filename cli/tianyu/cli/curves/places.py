"""Places as people type them: ``RA,DEC`` and ``X,Y``."""

from tianyu.schema.errors import ConfigurationError

DEGREES_PER_HOUR = 15.0


def parse_sky_place(text: str) -> tuple[float, float]:
    """Read ``RA,DEC`` in degrees, or sexagesimal with the right ascension in hours.

    Returns
    -------
    (float, float)
        Right ascension in [0, 360) and declination, degrees.

    Raises
    ------
    ConfigurationError
        If it is no place on the sky.

    Examples
    --------
    >>> parse_sky_place("31.042825,46.687837")
    (31.042825, 46.687837)
    >>> parse_sky_place("02:00:00,-10:30:00")
    (30.0, -10.5)
    """
    from tianyu.pipelines.fits.angles import parse_angle  # noqa: PLC0415 - brings all of astropy

    first, second = _pair(text, "RA,DEC in degrees (31.0428,46.6878) or 02:04:10.3,+46:41:16")
    ra, dec = parse_angle(first), parse_angle(second)
    if ra is None or dec is None:
        raise ConfigurationError(
            f"{text!r} is no place on the sky; write RA,DEC in degrees (31.0428,46.6878) or "
            "02:04:10.3,+46:41:16"
        )
    ra_deg = ra.value * (DEGREES_PER_HOUR if ra.is_sexagesimal else 1.0)
    if not (-360.0 <= ra_deg <= 360.0 and -90.0 <= dec.value <= 90.0):
        raise ConfigurationError(
            f"{text!r} is no place on the sky: RA {ra_deg:g}°, Dec {dec.value:g}°"
        )
    return ra_deg % 360.0, dec.value


def parse_pixel(text: str) -> tuple[float, float]:
    """Read ``X,Y``, 0-based pixels.

    Raises
    ------
    ConfigurationError
        If it is not two numbers.

    Examples
    --------
    >>> parse_pixel("328.5, 337.6")
    (328.5, 337.6)
    """
    first, second = _pair(text, "X,Y in 0-based pixels, such as 328.5,337.6")
    try:
        return float(first), float(second)
    except ValueError as error:
        raise ConfigurationError(
            f"{text!r} is no pixel; write X,Y in 0-based pixels, such as 328.5,337.6"
        ) from error


def _pair(text: str, form: str) -> tuple[str, str]:
    parts = text.split(",")
    if len(parts) != 2:
        raise ConfigurationError(f"{text!r} is not a pair; write {form}")
    return parts[0].strip(), parts[1].strip()
