"""Time scales of headers brought to UTC."""

import warnings
from datetime import datetime

_AS_UTC = frozenset({"UTC", "UT", "UT1", "GMT", "Z"})
_SCALES = {"TAI": "tai", "IAT": "tai", "TT": "tt", "TDT": "tt", "ET": "tt", "TDB": "tdb"}


def is_known_scale(scale: str) -> bool:
    """Tell whether :func:`to_utc` can convert from ``scale`` (a value of ``TIMESYS``)."""
    return scale.upper() in _AS_UTC or scale.upper() in _SCALES


def to_utc(moment: datetime, scale: str) -> datetime:
    """Convert a moment of the given scale to UTC.

    UT1 is taken as UTC, from which it differs by less than 0.9 s; leap seconds are those
    known to astropy's own table, so that nothing is downloaded.

    Parameters
    ----------
    moment : datetime
        Naive, in ``scale``.
    scale : str
        Value of ``TIMESYS``.

    Returns
    -------
    datetime
        Naive UTC.

    Raises
    ------
    ValueError
        If the scale is not known, or the moment is inside a leap second.

    Examples
    --------
    >>> to_utc(datetime(2017, 12, 20, 0, 0, 37), "TAI")
    datetime.datetime(2017, 12, 20, 0, 0)
    """
    name = scale.upper()
    if name in _AS_UTC:
        return moment
    if name not in _SCALES:
        raise ValueError(f"time scale {scale!r} is not known; known are UTC, TAI, TT and TDB")
    from astropy.time import Time  # noqa: PLC0415 - slow to import, and rare

    with warnings.catch_warnings():
        # "dubious year": leap seconds of the far future are not decided yet.
        warnings.filterwarnings("ignore", message="ERFA function")
        converted: datetime = Time(moment, scale=_SCALES[name]).utc.to_datetime()
    return converted
