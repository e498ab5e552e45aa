"""Header cards: their text parsed leniently, their values read with the type that is wanted.

The parser follows section 4 of the FITS standard 4.0 [1]_ but never refuses a card: a value
that breaks the standard is kept as text, and whoever needs it judges it. It is also an order
of magnitude quicker than building a full header object, which matters at registration.

References
----------
.. [1] FITS Working Group, "Definition of the Flexible Image Transport System (FITS)",
   version 4.0, 2018.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Self

CARD_LENGTH = 80

# Written by software where a field was left empty; none of them is a name of anything.
_PLACEHOLDERS = frozenset({"", "N/A", "NA", "UNKNOWN", "UNDEFINED", "NULL", "-", "--", "?"})

_COMMENTARY = frozenset({"COMMENT", "HISTORY", "END", ""})
# A quote inside a string is doubled; the closing one may be missing in dirty headers.
_STRING = re.compile(r"\s*'((?:[^']|'')*)'?\s*(?:/(.*))?$", re.DOTALL)
_PLAIN = re.compile(r"\s*([^/]*)(?:/(.*))?$", re.DOTALL)
_INTEGER = re.compile(r"[+-]?\d{1,30}$", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?$", re.ASCII)


@dataclass(frozen=True)
class Cards:
    """Values and comments of a header by keyword (upper case); the first of a repeated one counts.

    Examples
    --------
    >>> cards = Cards.of({"exptime": "30.0", "FILTER": "g       ", "OBJECT": ""})
    >>> cards.number("EXPTIME"), cards.text("FILTER"), cards.text("OBJECT")
    (30.0, 'g', None)
    """

    values: Mapping[str, object]
    comments: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, object], comments: Mapping[str, str] | None = None) -> Self:
        """Take any mapping of keywords to values; keywords are compared in upper case."""
        return cls(
            {str(key).strip().upper(): value for key, value in values.items()},
            {str(key).strip().upper(): str(text) for key, text in (comments or {}).items()},
        )

    def text(self, keyword: str) -> str | None:
        """Return the value as stripped text; ``None`` if absent, empty or a mere placeholder."""
        value = self.values.get(keyword)
        if isinstance(value, bool) or not isinstance(value, str | Real):
            return None
        text = str(value).strip()
        return None if text.upper() in _PLACEHOLDERS else text

    def number(self, keyword: str) -> float | None:
        """Return the value as a finite float, from a number or from its text; else ``None``."""
        value = self.values.get(keyword)
        if isinstance(value, bool) or not isinstance(value, str | Real):
            return None
        try:
            number = float(value.strip() if isinstance(value, str) else value)
        except (ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None

    def comment(self, keyword: str) -> str:
        """Return the comment of a card, empty where there is none."""
        return self.comments.get(keyword, "")

    def texts(self, keywords: Iterable[str]) -> dict[str, str]:
        """Return those of ``keywords`` that hold text, in the order asked for."""
        found = ((keyword, self.text(keyword)) for keyword in keywords)
        return {keyword: text for keyword, text in found if text is not None}

    def numbers(self, keywords: Iterable[str]) -> dict[str, float]:
        """Return those of ``keywords`` that hold a finite number, in the order asked for."""
        found = ((keyword, self.number(keyword)) for keyword in keywords)
        return {keyword: number for keyword, number in found if number is not None}

    def first_text(self, keywords: Iterable[str]) -> str | None:
        """Return the first usable text among ``keywords``."""
        return next(iter(self.texts(keywords).values()), None)


def parse_cards(block: bytes) -> Cards:
    """Parse header bytes up to ``END``.

    Parameters
    ----------
    block : bytes
        Cards of 80 bytes each; undecodable bytes are read as Latin-1 (the degree sign is
        common in comments).

    Returns
    -------
    Cards
        Strings without trailing blanks, long ones joined from their ``CONTINUE`` cards;
        ``HIERARCH`` keywords without that word. Commentary cards are left out.

    Examples
    --------
    >>> text = "EXPTIME =                 30.0 / [s]".ljust(80) + "END".ljust(80)
    >>> cards = parse_cards(text.encode())
    >>> cards.values, cards.comments
    ({'EXPTIME': 30.0}, {'EXPTIME': '[s]'})
    """
    values: dict[str, object] = {}
    comments: dict[str, str] = {}
    text = block.decode("latin-1")
    last = ""
    for start in range(0, len(text), CARD_LENGTH):
        card = text[start : start + CARD_LENGTH]
        if card[:8].rstrip(" \0") == "END":
            break
        if card.startswith("CONTINUE"):
            _continue(values, comments, last, card[8:])
            continue
        last = ""
        keyword, content = _split(card)
        if keyword in _COMMENTARY or keyword in values:
            continue
        values[keyword], comments[keyword] = _value_and_comment(content)
        last = keyword
    return Cards(values, comments)


def _split(card: str) -> tuple[str, str]:
    """Separate keyword and value field; a card without a value has an empty keyword."""
    if card.startswith("HIERARCH ") and "=" in card:
        keyword, content = card[9:].split("=", 1)
        return keyword.strip().upper(), content
    # "= " by the standard; some writers leave the blank out.
    return (card[:8].strip().upper(), card[9:]) if card[8:9] == "=" else ("", "")


def _value_and_comment(content: str) -> tuple[object, str]:
    if content.lstrip().startswith("'"):
        match = _STRING.match(content)
        if match is None:
            return content.strip(), ""
        return match[1].replace("''", "'").rstrip(), (match[2] or "").strip()
    match = _PLAIN.match(content)
    if match is None:  # the pattern takes any text
        return content.strip(), ""
    return _scalar(match[1].strip()), (match[2] or "").strip()


def _scalar(text: str) -> object:
    """Type an unquoted value: logical, integer, float, or else the text as it stands."""
    if text in {"T", "F"}:
        return text == "T"
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text.replace("D", "E").replace("d", "e"))
    return text


def _continue(values: dict[str, object], comments: dict[str, str], key: str, content: str) -> None:
    """Append a ``CONTINUE`` card to the string that ended in an ampersand."""
    head = values.get(key)
    if not isinstance(head, str) or not head.endswith("&"):
        return
    tail, comment = _value_and_comment(content)
    values[key] = head[:-1] + str(tail)
    comments[key] = " ".join(part for part in (comments[key], comment) if part)
