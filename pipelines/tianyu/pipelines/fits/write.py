"""Writing images so that a file is either whole or not there."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import IO

import numpy as np

from tianyu.pipelines.atomic import replacing
from tianyu.pipelines.fits.hdus import BLOCK_BYTES
from tianyu.pipelines.fits.plaincards import plain_card
from tianyu.pipelines.science.arrays import AnyArray

_BITPIX = {
    "u1": 8, "i2": 16, "u2": 16, "i4": 32, "u4": 32, "i8": 64, "f4": -32, "f8": -64,
}  # fmt: skip
_PRIMARY = "SIMPLE  =                    T / conforms to the FITS standard"
_EXTENSION = "XTENSION= 'IMAGE   '           / image extension"
_ZERO = {"u2": 2**15, "u4": 2**31}

# Small enough for the second-level cache: bytes are turned, summed up and written there.
_STRIP_BYTES = 256 * 1024

# Written from the arrays; a caller's copy of a raw header would contradict them.
_STRUCTURAL = frozenset({
    "SIMPLE", "XTENSION", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "EXTEND", "PCOUNT", "GCOUNT",
    "BZERO", "BSCALE", "BLANK", "EXTNAME", "END", "CHECKSUM", "DATASUM",
})  # fmt: skip


@dataclass(frozen=True)
class WrittenFile:
    """A file that is on the disk, whole."""

    size_bytes: int
    sha256: str
    """Of the whole file, in hexadecimal."""


def write_image_fits(
    path: str | PathLike[str],
    arrays: Sequence[tuple[str, AnyArray]],
    header: Mapping[str, object],
) -> WrittenFile:
    """Write images to one file, atomically.

    The bytes go to a temporary name in the same folder, are forced to the disk, and get the
    final name in one step: a reader, or a crash, never meets half a file, and two processes
    that write the same product leave one of them.

    Parameters
    ----------
    path : path-like
        Final name; its folder must exist. An existing file is replaced.
    arrays : sequence of (name, array)
        Two-dimensional images, the first as the primary one; the names become ``EXTNAME``.
        Boolean, 8-bit, 16-, 32- and 64-bit integers, float32 and float64; not copied whole.
    header : mapping of str to object
        Cards of the primary header: text, numbers, logicals, or ``(value, comment)``; keywords
        over eight letters are written as ``HIERARCH``. Structure is written from the arrays.

    Returns
    -------
    WrittenFile
        Size and checksum of what was written.

    Raises
    ------
    ValueError
        If there is no array, one is not two-dimensional or of another type, or FITS cannot
        hold a card.
    OSError
        If the disk does not take it; nothing is left behind then.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     images = [("MEAN", np.zeros((10, 20), np.float32))]
    ...     written = write_image_fits(Path(folder, "master.fits"), images, {"NFRAMES": 7})
    >>> written.size_bytes  # one block of header, one of data
    5760
    """
    if not arrays:
        raise ValueError(f"{path}: no array to write; a FITS image needs at least one")
    units = [
        (_header_bytes(name, array, header if index == 0 else None), array)
        for index, (name, array) in enumerate(arrays)
    ]
    target = Path(path)
    with replacing(target) as file:
        return _write_units(file, units)


def _write_units(file: IO[bytes], units: list[tuple[bytes, AnyArray]]) -> WrittenFile:
    digest, size = hashlib.sha256(), 0
    for header, array in units:
        n_content = 0
        for part in chain([memoryview(header)], _stored_strips(array)):
            file.write(part)
            digest.update(part)
            size += len(part)
            n_content += len(part)
        padding = bytes(-n_content % BLOCK_BYTES)
        file.write(padding)
        digest.update(padding)
        size += len(padding)
    return WrittenFile(size, digest.hexdigest())


def _stored_strips(array: AnyArray) -> Iterator[memoryview]:
    """Yield the pixels as FITS stores them, so few at once that they stay in the cache."""
    n_rows = max(1, _STRIP_BYTES // max(array[:1].nbytes, 1))
    for row in range(0, array.shape[0], n_rows):
        yield _stored(array[row : row + n_rows]).data.cast("B")


def _type_code(array: AnyArray) -> str:
    code = f"{array.dtype.kind}{array.dtype.itemsize}"
    return "u1" if code == "b1" else code


def _stored(array: AnyArray) -> AnyArray:
    """Return big-endian pixels as FITS stores them, with the first bit of unsigned ones turned."""
    code = _type_code(array)
    if code in _ZERO:
        array = array ^ array.dtype.type(_ZERO[code])
    return np.ascontiguousarray(array, dtype=f">{code}")


def _header_bytes(name: str, array: AnyArray, cards: Mapping[str, object] | None) -> bytes:
    code = _type_code(array)
    if array.ndim != 2 or array.size == 0 or code not in _BITPIX:
        raise ValueError(
            f"array {name!r} of shape {array.shape} and type {array.dtype} cannot be written; "
            "two-dimensional integers, booleans, float32 and float64 can"
        )
    first = _PRIMARY if cards is not None else _EXTENSION
    structure: list[tuple[str, object]] = [("BITPIX", _BITPIX[code]), ("NAXIS", 2)]
    structure += [("NAXIS1", array.shape[1]), ("NAXIS2", array.shape[0])]
    structure += [("PCOUNT", 0), ("GCOUNT", 1)] if cards is None else [("EXTEND", True)]
    if code in _ZERO:
        structure += [("BSCALE", 1), ("BZERO", _ZERO[code])]
    structure.append(("EXTNAME", name))
    others = [(k.upper(), v) for k, v in (cards or {}).items() if k.upper() not in _STRUCTURAL]
    text = f"{first:80}{_cards([*structure, *others])}{'END':80}"
    return (text + " " * (-len(text) % BLOCK_BYTES)).encode("ascii")


def _cards(values: Sequence[tuple[str, object]]) -> str:
    plain = [plain_card(keyword, value) for keyword, value in values]
    known = [card for card in plain if card is not None]
    if len(known) == len(plain) and len({keyword for keyword, _ in values}) == len(plain):
        return "".join(known)
    from astropy.io.fits import Header  # noqa: PLC0415 - slow to import, and rare

    header = Header()
    for keyword, value in values:
        key = keyword if len(keyword) <= 8 else f"HIERARCH {keyword}"
        try:
            header[key] = value
        except (ValueError, TypeError) as error:
            raise ValueError(f"card {keyword} = {value!r} cannot be written: {error}") from error
    return str(header.tostring(endcard=False, padding=False))
