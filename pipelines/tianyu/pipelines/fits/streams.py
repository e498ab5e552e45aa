"""Opening FITS files, plain or compressed as a whole, with one kind of error for bad bytes."""

import bz2
import gzip
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase, BytesIO, RawIOBase
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from tianyu.pipelines.errors import MissingInputError
from tianyu.pipelines.fits.errors import FitsError

_GZIP_MAGIC, _BZIP2_MAGIC = b"\x1f\x8b", b"BZh"

FITS_SUFFIXES = (".fits", ".fit", ".fts")
"""Endings of FITS files; each may be followed by one of ``COMPRESSED_SUFFIXES``."""

COMPRESSED_SUFFIXES = (".fz", ".gz", ".bz2")


def is_fits_name(path: str | PathLike[str]) -> bool:
    """Tell by its name whether a file is FITS; hidden files (``._x.fits``) are not.

    Examples
    --------
    >>> [is_fits_name(name) for name in ("a.FITS.fz", "b.fit", "c.fts.gz", "d.fz", "e.txt")]
    [True, True, True, False, False]
    """
    name = Path(path).name.lower()
    for suffix in COMPRESSED_SUFFIXES:
        name = name.removesuffix(suffix)
    return name.endswith(FITS_SUFFIXES) and not name.startswith(".")


Content: TypeAlias = RawIOBase | BufferedIOBase


@dataclass(frozen=True)
class FitsStream:
    """An open FITS file as the bytes that it holds when decompressed."""

    name: str
    """For errors."""
    content: Content
    size_bytes: int | None
    """``None`` for a compressed file, whose length is known at its end only."""
    stored_bytes: int
    """Length of the file as it lies on the disk."""

    def fill(self, buffer: memoryview) -> None:
        """Fill ``buffer`` with the next bytes, or say that the file is truncated."""
        filled = 0
        while filled < len(buffer):
            count = self.content.readinto(buffer[filled:])
            if not count:
                raise truncated(self.name, f"{len(buffer) - filled} bytes of a strip are missing")
            filled += count


def truncated(name: str, detail: str) -> FitsError:
    """Build the error for a file that ends too early."""
    return FitsError(f"{name}: the file is truncated ({detail}); copy it again, or leave it out")


@contextmanager
def open_fits(path: str | PathLike[str]) -> Iterator[FitsStream]:
    """Open a file, decompressing ``gzip`` and ``bzip2`` by their first bytes.

    Parameters
    ----------
    path : path-like
        The file.

    Yields
    ------
    FitsStream
        Closed when the block ends.

    Raises
    ------
    MissingInputError
        If there is no such file.
    FitsError
        Within the block too: if the compressed bytes are corrupt or end too early.
    """
    name = Path(path).name
    with (
        _explaining(path),
        Path(path).open("rb", buffering=0) as file,
        _decompressed(file, name) as stream,
    ):
        yield stream


def load(path: str | PathLike[str]) -> bytes:
    """Read a file as it is.

    Raises
    ------
    MissingInputError
        If there is no such file.
    """
    with _explaining(path):
        return Path(path).read_bytes()


@contextmanager
def open_stored(name: str, stored: bytes) -> Iterator[FitsStream]:
    """Open the bytes of a file as :func:`open_fits` does the file of that name.

    Raises
    ------
    FitsError
        Within the block too: if they are compressed, and corrupt or end too early.
    """
    with _explaining(name), _decompressed(BytesIO(stored), name) as stream:
        yield stream


@contextmanager
def _explaining(path: str | PathLike[str]) -> Iterator[None]:
    """Turn what is raised over a file into errors that say what is wrong with it."""
    name = Path(path).name
    try:
        yield
    except FileNotFoundError as error:
        raise MissingInputError(f"there is no file {os.fspath(path)}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FitsError(
            f"{name}: the compressed file is corrupt or truncated ({error}); copy it again"
        ) from error
    except OSError as error:
        if error.errno is not None:  # the disk's or network's trouble, not the file's content
            raise
        raise FitsError(f"{name}: the compressed file is corrupt ({error})") from error


@contextmanager
def _decompressed(file: Content, name: str) -> Iterator[FitsStream]:
    magic = file.read(3) or b""
    stored = file.seek(0, os.SEEK_END)
    file.seek(0)
    if magic.startswith(_GZIP_MAGIC):
        with gzip.GzipFile(fileobj=file) as content:
            yield FitsStream(name, content, None, stored)
    elif magic == _BZIP2_MAGIC:
        with bz2.BZ2File(file) as content:
            yield FitsStream(name, content, None, stored)
    else:
        yield FitsStream(name, file, stored, stored)
