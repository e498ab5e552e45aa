"""The parts of a FITS file, found without reading their data, and the image among them."""

import math
from dataclasses import dataclass

from tianyu.pipelines.fits import limits
from tianyu.pipelines.fits.cards import CARD_LENGTH, Cards, parse_cards
from tianyu.pipelines.fits.errors import FitsError
from tianyu.pipelines.fits.streams import FitsStream, truncated

BLOCK_BYTES = 2880

# 36 cards each; the longest real headers (mosaics with their calibration's history) have
# a few hundred blocks. A compressed file of blanks would otherwise be read for ever.
_MAX_HEADER_BLOCKS = 1000
_MAX_HDUS = 500

_PIXEL_BITS = (8, 16, 32, 64, -32, -64)

# Planes that accompany an image in reduced files, not the parts of a mosaic.
_COMPANIONS = frozenset({
    "BPM", "MASK", "DQ", "ERR", "ERROR", "VAR", "VARIANCE", "UNCERT", "WEIGHT", "WHT", "FLAGS",
})  # fmt: skip


@dataclass(frozen=True)
class Hdu:
    """One header-and-data unit."""

    index: int
    cards: Cards
    data_start: int
    """Offset of the data in the decompressed file, bytes."""
    data_bytes: int
    """Length of the data as declared, without padding."""

    @property
    def is_compressed(self) -> bool:
        """Whether the image is tile-compressed, in a binary table."""
        return self.cards.values.get("ZIMAGE") is True

    @property
    def bits(self) -> int:
        """``BITPIX`` of the image."""
        return _integer(self.cards, "ZBITPIX" if self.is_compressed else "BITPIX") or 0

    @property
    def axes(self) -> tuple[int, ...]:
        """Axes of the image, fastest first, without those of length 1 beyond the second."""
        if self.cards.values.get("XTENSION") not in {None, "IMAGE"} and not self.is_compressed:
            return ()
        prefix = "ZNAXIS" if self.is_compressed else "NAXIS"
        count = _integer(self.cards, prefix) or 0
        axes = tuple(_integer(self.cards, f"{prefix}{axis}") or 0 for axis in range(1, count + 1))
        while len(axes) > 2 and axes[-1] == 1:
            axes = axes[:-1]
        return axes

    @property
    def is_image(self) -> bool:
        """Whether this holds a two-dimensional image."""
        return len(self.axes) == 2 and min(self.axes) > 0

    @property
    def image_shape(self) -> tuple[int, int]:
        """Shape of the image, ``(height, width)``."""
        width, height = self.axes
        return height, width

    @property
    def label(self) -> str:
        """Number and name, for messages."""
        return f"{self.index} {self.cards.text('EXTNAME') or ''}".strip()


def scan_hdus(stream: FitsStream) -> tuple[Hdu, ...]:
    """Find the header-and-data units of a file.

    Parameters
    ----------
    stream : FitsStream
        At its beginning.

    Returns
    -------
    tuple of Hdu
        At least one. Bytes after the last unit that are no header are passed over.

    Raises
    ------
    FitsError
        If the file is not FITS, is truncated, or declares sizes that make no sense.
    """
    hdus: list[Hdu] = []
    position = 0
    while len(hdus) < _MAX_HDUS:
        cards, length = _read_header(stream, is_first=not hdus)
        if cards is None:
            break
        hdu = Hdu(len(hdus), cards, position + length, _data_bytes(cards, stream.name))
        _check_extent(hdu, stream)
        hdus.append(hdu)
        padded = -(-hdu.data_bytes // BLOCK_BYTES) * BLOCK_BYTES
        position = hdu.data_start + padded
        if stream.size_bytes is not None and position >= stream.size_bytes:
            break
        stream.content.seek(position)
    return tuple(hdus)


def _read_header(stream: FitsStream, *, is_first: bool) -> tuple[Cards | None, int]:
    """Read blocks up to the one with ``END``; ``None`` where no further header begins."""
    block = stream.content.read(BLOCK_BYTES) or b""
    if is_first and not block.startswith(b"SIMPLE"):
        raise FitsError(
            f"{stream.name}: not a FITS file, it begins with {block[:8]!r} and not with SIMPLE"
        )
    if not is_first and not block.startswith(b"XTENSION"):
        return None, 0
    blocks = [block]
    while not _has_end(blocks[-1]):
        if len(blocks) == _MAX_HEADER_BLOCKS or len(blocks[-1]) < BLOCK_BYTES:
            raise truncated(stream.name, f"no END card in {len(blocks)} blocks of its header")
        blocks.append(stream.content.read(BLOCK_BYTES) or b"")
    return parse_cards(b"".join(blocks)), len(blocks) * BLOCK_BYTES


def _has_end(block: bytes) -> bool:
    return any(
        block[start : start + 8].rstrip(b" \0") == b"END"
        for start in range(0, len(block), CARD_LENGTH)
    )


def _integer(cards: Cards, keyword: str) -> int | None:
    value = cards.values.get(keyword)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _data_bytes(cards: Cards, name: str) -> int:
    """Compute the length of the data by eq. 2 of the FITS standard 4.0."""
    bits, count = _integer(cards, "BITPIX"), _integer(cards, "NAXIS")
    if bits not in _PIXEL_BITS or count is None or not 0 <= count <= 999:
        raise FitsError(
            f"{name}: BITPIX = {cards.values.get('BITPIX')!r}, NAXIS = "
            f"{cards.values.get('NAXIS')!r} describe no data; the file is corrupt"
        )
    axes = [_integer(cards, f"NAXIS{axis}") for axis in range(1, count + 1)]
    groups, parameters = _integer(cards, "GCOUNT"), _integer(cards, "PCOUNT") or 0
    if any(axis is None or axis < 0 for axis in axes) or parameters < 0 or (groups or 0) < 0:
        raise FitsError(f"{name}: axes {axes} describe no data; the file is corrupt")
    if not axes:
        return 0
    elements = parameters + math.prod(axis or 0 for axis in axes)
    return abs(bits) // 8 * (1 if groups is None else groups) * elements


def _check_extent(hdu: Hdu, stream: FitsStream) -> None:
    """Refuse data that the file does not hold, or that would take for ever to pass over."""
    if hdu.is_image:
        height, width = hdu.image_shape
        limits.check_image(stream.name, width, height)
        if hdu.is_compressed:
            image_bytes = abs(hdu.bits) // 8 * width * height
            limits.check_expansion(stream.name, image_bytes, hdu.data_bytes)
    limits.check_data(stream.name, hdu.data_bytes)
    end = hdu.data_start + hdu.data_bytes
    if stream.size_bytes is None:
        limits.check_expansion(stream.name, end, stream.stored_bytes)
    elif end > stream.size_bytes:
        raise truncated(stream.name, f"{end} bytes are declared, {stream.size_bytes} are there")


def choose_image(hdus: tuple[Hdu, ...], *, name: str, extension: int | str | None = None) -> Hdu:
    """Choose the image of a file.

    Parameters
    ----------
    hdus : tuple of Hdu
        Of :func:`scan_hdus`.
    name : str
        Of the file, for errors.
    extension : int or str, optional
        Number or ``EXTNAME`` of the one to take. Without it the first image is taken, if no
        other of its size is there but masks and error planes.

    Returns
    -------
    Hdu
        A two-dimensional image.

    Raises
    ------
    FitsError
        If there is none, or several that could be meant.
    """
    images = [hdu for hdu in hdus if hdu.is_image]
    if extension is not None:
        images = [hdu for hdu in images if _is_named(hdu, extension)]
    if not images:
        wanted = "" if extension is None else f" named {extension!r}"
        held = ", ".join(f"{hdu.label} {hdu.axes}" for hdu in hdus)
        raise FitsError(f"{name}: no two-dimensional image{wanted}; the file holds {held}")
    first, *others = images
    rivals = [
        hdu.label
        for hdu in others
        if hdu.axes == first.axes and (hdu.cards.text("EXTNAME") or "").upper() not in _COMPANIONS
    ]
    if rivals and extension is None:
        raise FitsError(
            f"{name}: images {', '.join([first.label, *rivals])} have the same size; mosaics "
            "are not supported: name one as the extension, or split the file"
        )
    return first


def _is_named(hdu: Hdu, extension: int | str) -> bool:
    if isinstance(extension, str):
        return (hdu.cards.text("EXTNAME") or "").upper() == extension.strip().upper()
    return hdu.index == extension


# Cards of the binary table around a compressed image, which say nothing of the image.
_TABLE_PREFIXES = ("TTYPE", "TFORM", "TDIM", "ZTILE", "ZNAME", "ZVAL", "ZNAXIS")
_TABLE_CARDS = frozenset({"TFIELDS", "PCOUNT", "GCOUNT", "ZIMAGE", "ZCMPTYPE", "ZBITPIX"})


def merged_cards(primary: Hdu, image: Hdu) -> Cards:
    """Join the image's header to the primary one, whose cards count where the image's lack.

    Parameters
    ----------
    primary, image : Hdu
        May be the same.

    Returns
    -------
    Cards
        With the ``BITPIX`` and axes of the image, also where it is tile-compressed.
    """
    values = {**primary.cards.values, **image.cards.values}
    comments = {**primary.cards.comments, **image.cards.comments}
    if image.is_compressed:
        values = {key: value for key, value in values.items() if not _is_of_table(key)}
    height, width = image.image_shape
    values |= {"BITPIX": image.bits, "NAXIS": 2, "NAXIS1": width, "NAXIS2": height}
    if image is not primary and "BZERO" not in image.cards.values:
        values.pop("BZERO", None)  # scaling never carries over from another unit
    return Cards(values, comments)


def _is_of_table(keyword: str) -> bool:
    return keyword in _TABLE_CARDS or keyword.startswith(_TABLE_PREFIXES)
