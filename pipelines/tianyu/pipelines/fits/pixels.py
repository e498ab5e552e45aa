"""Pixels of a FITS image, in native byte order.

Plain files are read without a FITS library, in strips that stay in the processor's cache while
their bytes are swapped: 3 to 5 times as fast, and without a second copy. Tile-compressed images
(``.fz``) are decoded by astropy.
"""

import hashlib
import math
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tianyu.pipelines.fits.errors import FitsError
from tianyu.pipelines.fits.hdus import Hdu, choose_image, scan_hdus
from tianyu.pipelines.fits.limits import max_pixels
from tianyu.pipelines.fits.streams import FitsStream, load, open_fits, open_stored

Pixels: TypeAlias = NDArray[Any]
"""Image of the type that the file holds, shape ``(ny, nx)``."""

_STORED = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}

# Fastest of 64 KiB to 1 MiB: small enough for the second-level cache.
_STRIP_BYTES = 256 * 1024

# Unsigned integers are stored with the sign bit turned: BITPIX to BZERO.
_UNSIGNED_ZERO = {16: 2.0**15, 32: 2.0**31, 64: 2.0**63}


def read_pixels(path: str | PathLike[str], *, extension: int | str | None = None) -> Pixels:
    """Read the image of a file.

    Parameters
    ----------
    path : path-like
        ``.fits``, ``.fit`` or ``.fts``, plain, with its image tile-compressed (``.fz``), or
        compressed as a whole (``.gz``, ``.bz2``). What it is is seen from its content.
    extension : int or str, optional
        Number or ``EXTNAME`` of the image, where a file holds several.

    Returns
    -------
    ndarray, shape (ny, nx)
        C-contiguous, native byte order, of the file's own type: uint8, int16, int32, int64,
        float32, float64, or unsigned integers where ``BZERO`` means that. Any other scaling
        gives float32 (from 8 and 16 bits) or float64. Integer images in which the ``BLANK``
        value occurs become floats with NaN there.

    Raises
    ------
    FitsError
        If the file is not FITS, is truncated or corrupt, is larger than
        the setting ``max_image_pixels``, or holds no image that can be chosen.
    MissingInputError
        If there is no file.
    """
    with open_fits(path) as stream:
        return _read_image(stream, extension)


def read_pixels_and_checksum(
    path: str | PathLike[str], *, extension: int | str | None = None
) -> tuple[Pixels, str]:
    """Read the image of a file, and the SHA-256 of all of its bytes.

    The bytes of the pixels are read once, and summed up while they are in the cache. A compressed
    file is in memory whole for a moment.

    Parameters
    ----------
    path, extension
        As of :func:`read_pixels`.

    Returns
    -------
    pixels : ndarray, shape (ny, nx)
    checksum : str
        64 hexadecimal digits.

    Raises
    ------
    FitsError, MissingInputError
        As :func:`read_pixels` does.
    """
    with open_fits(path) as stream:
        if stream.size_bytes is not None:
            hdu = choose_image(scan_hdus(stream), name=stream.name, extension=extension)
            if not hdu.is_compressed:
                return _read_and_sum(stream, hdu)
    stored = load(path)
    with open_stored(Path(path).name, stored) as stream:
        return _read_image(stream, extension), hashlib.sha256(stored).hexdigest()


def _read_image(stream: FitsStream, extension: int | str | None) -> Pixels:
    hdu = choose_image(scan_hdus(stream), name=stream.name, extension=extension)
    if hdu.is_compressed:
        return _to_physical(_decode_tiles(stream, hdu), hdu)
    stream.content.seek(hdu.data_start)
    return _read_plain(stream, hdu)


def _read_and_sum(stream: FitsStream, hdu: Hdu) -> tuple[Pixels, str]:
    """Read a plain image, and the checksum of the file that it is in."""
    digest = hashlib.sha256()
    stream.content.seek(0)
    before = bytearray(hdu.data_start)
    stream.fill(memoryview(before))
    digest.update(before)
    pixels = _read_plain(stream, hdu, digest.update)
    while after := stream.content.read(_STRIP_BYTES):
        digest.update(after)
    return pixels, digest.hexdigest()


def image_shape(
    path: str | PathLike[str], *, extension: int | str | None = None
) -> tuple[int, int]:
    """Read the shape ``(ny, nx)`` of the image that :func:`read_pixels` would return.

    Raises
    ------
    FitsError, MissingInputError
        As :func:`read_pixels` does.
    """
    with open_fits(path) as stream:
        hdu = choose_image(scan_hdus(stream), name=stream.name, extension=extension)
    return hdu.image_shape


def _read_plain(
    stream: FitsStream, hdu: Hdu, look: Callable[[memoryview], None] | None = None
) -> Pixels:
    """Read big-endian pixels, at which the stream is, strip by strip.

    What is to be done with every one is done while they are in the cache: `look` sees the bytes,
    which are then swapped, and turned into unsigned integers where they are such.
    """
    dtype = np.dtype(_STORED[hdu.bits])
    pixels = np.empty(hdu.image_shape, dtype.newbyteorder("="))
    flat = pixels.reshape(-1)
    is_unsigned = _is_unsigned(hdu)
    strip = np.empty(_STRIP_BYTES // dtype.itemsize, dtype)
    for start in range(0, flat.size, strip.size):
        part = strip[: flat.size - start]
        content = part.view(np.uint8).data
        stream.fill(content)
        if look is not None:
            look(content)
        native = flat[start : start + part.size]
        native[:] = part
        if is_unsigned:
            _turn_sign(native)
    return _turned(pixels) if is_unsigned else _to_physical(pixels, hdu)


def _decode_tiles(stream: FitsStream, hdu: Hdu) -> Pixels:
    """Decode a tile-compressed image; integers come as stored, floats as meant."""
    from astropy.io import fits  # noqa: PLC0415 - slow to import, and not for plain files

    tile = math.prod(hdu.cards.number(f"ZTILE{axis}") or 1.0 for axis in (1, 2))
    if tile > max_pixels():  # tiles are allocated whole, and may be larger than the image
        raise FitsError(f"{stream.name}: declares tiles of {tile:g} pixels; it is corrupt")
    stream.content.seek(0)
    try:
        with fits.open(
            stream.content, memmap=False, do_not_scale_image_data=True, ignore_missing_end=True
        ) as hdus:
            data = np.asarray(hdus[hdu.index].data)
    except Exception as error:  # what the decoder raises on corrupt bytes is not defined
        raise FitsError(
            f"{stream.name}: the compressed image does not decode ({error}); copy the file again"
        ) from error
    return np.ascontiguousarray(data.reshape(hdu.image_shape), data.dtype.newbyteorder("="))


def _to_physical(stored: Pixels, hdu: Hdu) -> Pixels:
    """Apply ``BZERO``, ``BSCALE`` and ``BLANK``; ``stored`` is this module's own array."""
    scale, zero = hdu.cards.number("BSCALE"), hdu.cards.number("BZERO") or 0.0
    scale = 1.0 if scale is None else scale
    if _is_unsigned(hdu):
        _turn_sign(stored)
        return _turned(stored)
    blank = _blank_pixels(stored, hdu)
    if scale == 1.0 and blank is None:
        if zero == 0.0:
            return stored
        if _UNSIGNED_ZERO.get(hdu.bits) == zero:
            _turn_sign(stored)
            return _turned(stored)
        if hdu.bits == 8 and zero == -128.0:
            return (stored ^ np.uint8(128)).view(np.int8)
    if stored.dtype.kind == "f" and scale == 1.0 and zero == 0.0:
        return stored
    # Float32 holds every product of 16 bits as well as the file's own scaling did.
    dtype = np.float32 if hdu.bits in {8, 16, -32} else np.float64
    physical: Pixels = np.add(np.multiply(stored, scale, dtype=dtype), zero, dtype=dtype)
    if blank is not None:
        physical[blank] = np.nan
    return physical


def _is_unsigned(hdu: Hdu) -> bool:
    """Tell whether all stored integers mean unsigned ones, none of them that there is no value."""
    scale, zero = hdu.cards.number("BSCALE"), hdu.cards.number("BZERO") or 0.0
    is_plain = (scale is None or scale == 1.0) and hdu.cards.number("BLANK") is None
    return is_plain and _UNSIGNED_ZERO.get(hdu.bits) == zero


def _turn_sign(stored: Pixels) -> None:
    """Add 2ⁿ⁻¹ to n-bit integers, which is to turn their first bit: exact, in place, no float."""
    unsigned = _turned(stored)
    unsigned ^= unsigned.dtype.type(1 << (8 * stored.dtype.itemsize - 1))


def _turned(stored: Pixels) -> Pixels:
    """Return integers of which the sign was turned as the unsigned ones that they are."""
    return stored.view(f"u{stored.dtype.itemsize}")


def _blank_pixels(stored: Pixels, hdu: Hdu) -> NDArray[np.bool_] | None:
    blank = hdu.cards.number("BLANK")
    if stored.dtype.kind == "f" or blank is None:
        return None
    undefined: NDArray[np.bool_] = stored == blank
    return undefined if undefined.any() else None
