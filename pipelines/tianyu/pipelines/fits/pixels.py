"""Pixels of a FITS image, in native byte order.

Plain files are read without a FITS library, in strips that stay in the processor's cache while
their bytes are swapped: 3 to 5 times as fast, and without a second copy. Tile-compressed images
(``.fz``) are decoded by astropy.
"""

import hashlib
import math
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tianyu.pipelines.fits.errors import FitsError
from tianyu.pipelines.fits.hdus import Hdu, choose_image, scan_hdus
from tianyu.pipelines.fits.limits import max_pixels
from tianyu.pipelines.fits.streams import FitsStream, load, open_fits, open_stored, truncated

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
    """Read the image of a file, and the SHA-256 of all of its bytes, which are read once.

    The whole file is in memory for a moment.

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
    stored = load(path)
    with open_stored(Path(path).name, stored) as stream:
        return _read_image(stream, extension), hashlib.sha256(stored).hexdigest()


def _read_image(stream: FitsStream, extension: int | str | None) -> Pixels:
    hdu = choose_image(scan_hdus(stream), name=stream.name, extension=extension)
    stored = _decode_tiles(stream, hdu) if hdu.is_compressed else _read_plain(stream, hdu)
    return _to_physical(stored, hdu)


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


def _read_plain(stream: FitsStream, hdu: Hdu) -> Pixels:
    """Read big-endian pixels strip by strip, swapping the bytes while they are in the cache."""
    dtype = np.dtype(_STORED[hdu.bits])
    if stream.memory is not None:
        height, width = hdu.image_shape
        if hdu.data_start + height * width * dtype.itemsize > len(stream.memory):
            raise truncated(stream.name, "pixels are missing")
        there = np.frombuffer(stream.memory, dtype, height * width, hdu.data_start)
        return there.astype(dtype.newbyteorder("=")).reshape(height, width)
    pixels = np.empty(hdu.image_shape, dtype.newbyteorder("="))
    flat = pixels.reshape(-1)
    strip = np.empty(_STRIP_BYTES // dtype.itemsize, dtype)
    stream.content.seek(hdu.data_start)
    for start in range(0, flat.size, strip.size):
        part = strip[: flat.size - start]
        stream.fill(part.view(np.uint8).data)
        flat[start : start + part.size] = part
    return pixels


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
    blank = _blank_pixels(stored, hdu)
    if scale == 1.0 and blank is None:
        if zero == 0.0:
            return stored
        if _UNSIGNED_ZERO.get(hdu.bits) == zero:
            return _turn_sign(stored)
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


def _turn_sign(stored: Pixels) -> Pixels:
    """Add 2ⁿ⁻¹ to n-bit integers, which is to turn their first bit: exact, in place, no float."""
    unsigned = stored.view(f"u{stored.dtype.itemsize}")
    unsigned ^= unsigned.dtype.type(1 << (8 * stored.dtype.itemsize - 1))
    return unsigned


def _blank_pixels(stored: Pixels, hdu: Hdu) -> NDArray[np.bool_] | None:
    blank = hdu.cards.number("BLANK")
    if stored.dtype.kind == "f" or blank is None:
        return None
    undefined: NDArray[np.bool_] = stored == blank
    return undefined if undefined.any() else None
