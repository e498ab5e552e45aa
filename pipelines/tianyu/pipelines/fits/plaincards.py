"""Header cards of plain values, as astropy writes them, without its import of 0.3 s.

A consumer's child writes a few numbers and short words beside each image. Everything else (long
text, comments, what FITS has no form for) is left to astropy, which knows the rules.
"""

import math
import re

CARD_CHARACTERS = 80
_KEYWORD_CHARACTERS = 8

_KEYWORD = re.compile(r"[A-Z][A-Z0-9_-]*")
_WITH_MEANING = frozenset({"COMMENT", "HISTORY", "CONTINUE", "HIERARCH", "END"})
"""Keywords whose cards have a form of their own."""


def plain_card(keyword: str, value: object) -> str | None:
    """Return the card of a plain value; None where it takes more than this.

    Parameters
    ----------
    keyword : str
        In capitals; one of more than eight letters becomes a ``HIERARCH`` card.
    value : object
        Logical, whole number, finite number or short text without blanks at its ends.

    Returns
    -------
    str or None
        80 characters.

    Examples
    --------
    >>> plain_card("NFRAMES", 7), plain_card("CANVAS_X0", -3)
    ('NFRAMES =                    7...', 'HIERARCH CANVAS_X0 = -3...')
    >>> plain_card("NOTE", "é") is None
    True
    """
    text = _value(value)
    if text is None or keyword in _WITH_MEANING or not _KEYWORD.fullmatch(keyword):
        return None
    if len(keyword) > _KEYWORD_CHARACTERS:
        card = f"HIERARCH {keyword} = {text.strip()}"
    else:
        card = f"{keyword:8}= {text}"
    return f"{card:80}" if len(card) < CARD_CHARACTERS else None


def _value(value: object) -> str | None:
    if isinstance(value, bool):
        return f"{'T' if value else 'F':>20}"
    if type(value) is int:
        return f"{value:>20d}"
    if isinstance(value, float) and math.isfinite(value):
        return f"{_digits(float(value)):>20}"
    # Text with a colon and a number after it would be a card with fields.
    if type(value) is str and value.isascii() and value.isprintable() and ": " not in value:
        quoted = f"'{value:8}'"
        return f"{quoted:20}" if value and value == value.strip() and "'" not in value else None
    return None


def _digits(value: float) -> str:
    """Return a number in at most 20 characters, its last digits cut off as astropy does."""
    significand, e, exponent = str(value).partition("e")
    power = f"E{exponent}" if e else ""
    return significand[: 20 - len(power)] + power
