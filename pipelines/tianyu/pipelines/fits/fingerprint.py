"""Identity of a file: a cheap one for registration, the full checksum for everything after."""

import hashlib
import os
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

_END_BYTES = 64 * 1024
_CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Fingerprint:
    """What tells a file from others without reading all of it."""

    size_bytes: int
    header_sha256: str
    """SHA-256, in hexadecimal, over the size and the first and last 64 KiB."""


def fingerprint(path: str | PathLike[str]) -> Fingerprint:
    """Compute the cheap identity of a file; at most 128 KiB are read.

    The start holds the header, with the time of the exposure; the end catches a file that is
    still being copied. Two files that differ in their middle only are not told apart.

    Parameters
    ----------
    path : path-like
        Any file.

    Returns
    -------
    Fingerprint
        The same for equal files on every platform.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with Path(path).open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(size.to_bytes(8, "big"))
        digest.update(file.read(_END_BYTES))
        # Of a short file only what has not been read yet.
        file.seek(max(min(_END_BYTES, size), size - _END_BYTES))
        digest.update(file.read(_END_BYTES))
    return Fingerprint(size, digest.hexdigest())


def checksum(path: str | PathLike[str]) -> str:
    """Compute the SHA-256 of a whole file, in hexadecimal, in 1 MiB of memory.

    Parameters
    ----------
    path : path-like
        Any file.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    digest = hashlib.sha256()
    buffer = bytearray(_CHUNK_BYTES)
    view = memoryview(buffer)
    with Path(path).open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(view[:count])
    return digest.hexdigest()
