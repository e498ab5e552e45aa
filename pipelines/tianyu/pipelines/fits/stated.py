"""Values that a header computed itself: kept to be compared, never used."""

from tianyu.pipelines.fits.cards import Cards

# Names that are in use, and the range in which a number is what its name says.
_CARDS = {
    "bjd": (("BJD_TDB", "BJD-TDB", "BJD-OBS", "BJD", "BJD-MID"), 2.3e6, 2.6e6),
    "hjd": (("HJD_UTC", "HJD-OBS", "HJD", "HJD-MID"), 2.3e6, 2.6e6),
    "airmass": (("AIRMASS", "SECZ"), 1.0, 40.0),
    "moon_distance_deg": (("MOONDIST", "MOONANGL", "MOONSEP", "MOON-SEP"), 0.0, 180.0),
}


def read_stated(cards: Cards) -> dict[str, float]:
    """Return barycentric and heliocentric date, airmass and moon distance, where stated.

    Parameters
    ----------
    cards : Cards
        The header.

    Returns
    -------
    dict of str to float
        ``bjd``, ``hjd``: days; ``airmass``; ``moon_distance_deg``: degrees.
    """
    found = {}
    for field, (names, low, high) in _CARDS.items():
        for name in names:
            value = cards.number(name)
            if value is not None and low <= value <= high:
                found[field] = value
                break
    return found
